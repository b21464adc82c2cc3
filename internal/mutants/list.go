package main

// mutants has one or more entries for each invariant of DESIGN.md.
var mutants = []mutant{
	{
		invariant: "1 no secret in a printed value", file: "kmsmigrate/open.go",
		guard:  `func (o Opened) GoString() string { return o.String() }`,
		broken: `func (o Opened) GoString() string { return string(o.Plaintext) }`,
		tests:  "TestNoSecretInErrorsEventsOrValues",
	},
	{
		invariant: "1 no context value in a printed value", file: "kmsmigrate/encryptioncontext.go",
		guard:  `func (ec EncryptionContext) GoString() string { return ec.String() }`,
		broken: ``,
		tests:  "TestNoSecretInErrorsEventsOrValues",
	},
	{
		invariant: "2 the new key opened it again", file: "kmsmigrate/renew.go",
		guard:  `	if !bytes.Equal(again, plaintext) {`,
		broken: `	if bytes.Equal(nil, again) {`,
		tests:  "TestRenewRefusesWhatTheNewKeyDoesNotGiveBack",
	},
	{
		invariant: "2 a ciphertext that its key does not own", file: "kmsmigrate/client.go",
		guard:  `if len(ciphertext) == 0 || owned == Foreign {`,
		broken: `if len(ciphertext) == 0 || owned > Foreign {`,
		tests:  "TestACiphertextThatItsKeyDoesNotOwnIsRefused",
	},
	{
		invariant: "5 an empty plaintext is an error", file: "kmsmigrate/client.go",
		guard:  `if len(plaintext) == 0 {`,
		broken: `if false {`,
		tests:  "TestAnEmptyAnswerIsAnError",
	},
	{
		invariant: "5 an empty ciphertext is an error", file: "kmsmigrate/client.go",
		guard:  `if len(ciphertext) == 0 || owned == Foreign {`,
		broken: `if owned == Foreign {`,
		tests:  "TestAnEmptyAnswerIsAnError",
	},
	{
		invariant: "routing: only foreign leads to the other side", file: "kmsmigrate/open.go",
		guard:  `if !errors.Is(err, ErrForeign) {`,
		broken: `if false {`,
		tests:  "TestOnlyForeignLeadsToTheOtherSide",
	},
	{
		invariant: "routing: new-only asks no old key", file: "kmsmigrate/phase.go",
		guard:  `return p < NewOnly`,
		broken: `return true`,
		tests:  "TestPhaseGrid",
	},
	{
		invariant: "routing: neighbouring phases understand each other", file: "kmsmigrate/phase.go",
		guard:  `return p > OldOnly`,
		broken: `return p > ReadBoth`,
		tests:  "TestPhaseGrid",
	},
	{
		invariant: "routing: wasted trials are limited", file: "kmsmigrate/open.go",
		guard:  `if err := c.wasted.Wait(ctx); err != nil {`,
		broken: `if err := ctx.Err(); err != nil {`,
		tests:  "TestWastedTrialsAreLimited",
	},
	{
		invariant: "phases: a side is given up on evidence", file: "kmsmigrate/phaseswitch.go",
		guard:  `if err := census.Clear(side); err != nil {`,
		broken: `if err := error(nil); err != nil {`,
		tests:  "TestGivingUpASideTakesACensus",
	},
	{
		invariant: "phases: no jump", file: "kmsmigrate/phaseswitch.go",
		guard:  `if to > from+1 || from > to+1 {`,
		broken: `if false {`,
		tests:  "TestASwitchGoesStepByStep",
	},
	{
		invariant: "phases: nothing is renewed before its phase", file: "kmsmigrate/renew.go",
		guard:  `	case !p.Rewrites():`,
		broken: `	case false:`,
		tests:  "TestRenewIsRefusedOutsideRewrite",
	},
	{
		invariant: "1 no words of a server that quote the request", file: "kmsmigrate/alikms/failure.go",
		guard:  `message: s.show(r.message)`,
		broken: `message: r.message`,
		tests:  "TestEveryFaultOnEveryFaceHasItsError|TestWordsThatQuoteTheRequestAreNotShown|TestAServersWords",
	},
	{
		invariant: "2 a re-wrapped copy was opened by the new key", file: "kmsmigrate/renew.go",
		guard:  `to, err := c.verify(ctx, key, renewed, opened.Plaintext, ec)`,
		broken: `to, err := KeyRef{}, error(nil)`,
		tests:  "TestRenewRefusesACopyThatTheNewKeyDoesNotOpen",
		in:     "envelope",
	},
	{
		invariant: "3 compare and swap, in memory", file: "rekey/rekeytest/memory.go",
		guard:  `if !ok || !bytes.Equal(rec.Value, prev) {`,
		broken: `if !ok || bytes.Equal(nil, prev) {`,
		tests:  "TestMemoryPassesTheSuite",
	},
	{
		invariant: "3 compare and swap, in SQL", file: "rekey/rekeysql/sqlite.go",
		guard:  `q.text(" COLLATE BINARY WHEN 'blob' THEN " + name + " = ")`,
		broken: `q.text(" OR 1 WHEN 'blob' THEN 1 OR " + name + " = ")`,
		tests:  "TestStoresPassTheSuite",
	},
	{
		invariant: "3 a rewrite that lost does not try to win", file: "rekey/lazy.go",
		guard: `done.swapErr = s.Swap(ctx, rec.ID, rec.Value, renewed.Ciphertext)`,
		broken: `done.swapErr = s.Swap(ctx, rec.ID, rec.Value, renewed.Ciphertext)
			if g, ok := s.(Getter); ok && done.swapErr != nil {
				if now, err := g.Get(ctx, rec.ID); err == nil {
					done.swapErr = s.Swap(ctx, rec.ID, now.Value, renewed.Ciphertext)
				}
			}`,
		tests: "TestAConcurrentWriterWins",
	},
	{
		invariant: "4 the read does not wait for the rewrite", file: "rekey/lazy.go",
		guard:  `		r.enqueue(rec)`,
		broken: `		r.finish(r.rewrite(r.base, r.cfg.Store, rec))`,
		tests:  "TestOpenReturnsBeforeTheRewrite",
	},
	{
		invariant: "5 a truncated answer is an error", file: "kmsmigrate/alikms/key.go",
		guard:  `if len(plaintext) != len(ciphertext)-kmsmigrate.BlobOverhead {`,
		broken: `if len(plaintext) > len(ciphertext) {`,
		tests:  "TestATruncatedValueIsNotAValue",
	},
	{
		invariant: "6 a queued rewrite has copies of its own", file: "rekey/lazy.go",
		guard:  `job{m, rec.clone()}`,
		broken: `job{m, rec}`,
		tests:  "TestCallerOwnsItsBuffers",
	},
	{
		invariant: "6 a shared KMS call has copies of its own", file: "envelope/open.go",
		guard:  `wrapped, ec = slices.Clone(wrapped), ec.Clone()`,
		broken: `ec = ec.Clone()`,
		tests:  "TestASharedCallOutlivesTheBuffersOfWhoBeganIt",
	},
	{
		invariant: "7 a bad record is quarantined and the sweep goes on", file: "rekey/sweepworker.go",
		guard:  `s.quarantine(it.rec.ID, it.class, reasonOf(err), err)`,
		broken: `s.stop(err)`,
		tests:  "TestARecordThatCannotBeOpenedIsQuarantinedAndTheSweepGoesOn",
	},
	{
		invariant: "8 the checkpoint never passes an unfinished record", file: "rekey/flow.go",
		guard:  "	s := &step{id: id}\n	s.at = w.steps.PushBack(s)\n	return s",
		broken: "	s := &step{id: id}\n	s.at = w.steps.PushBack(s)\n	w.after = id\n	return s",
		tests:  "TestTheCheckpointNeverPassesAnUnfinishedRecord|TestAKilledSweepLosesNothing",
	},
	{
		invariant: "retired: the cache does not serve the old side in new-only", file: "envelope/seal.go",
		guard:  `e.opening.dropIf(func(k *openingKey) bool { return !p.Reads(k.side) })`,
		broken: `_ = p`,
		tests:  "TestInNewOnlyACachedDataKeyOfTheOldSideDoesNotServe",
	},
	{
		invariant: "envelope: a record commits to its data key", file: "envelope/open.go",
		guard:  `if string(k.commitment[:]) != string(h.commitment) {`,
		broken: `if string(k.commitment[:]) == "" {`,
		tests:  "TestACommitmentOfAnotherDataKeyIsTampering",
	},
	{
		invariant: "4 a rewrite has a time-out of its own", file: "rekey/lazy.go",
		guard:  `context.WithTimeout(r.base, r.cfg.Timeout)`,
		broken: `context.WithCancel(r.base)`,
		tests:  "TestARewriteEndsWithItsTimeout",
	},
	{
		invariant: "4 a full queue never blocks", file: "rekey/lazy.go",
		guard:  `case len(r.queue) >= r.cfg.QueueRecords || r.bytes+size > r.cfg.QueueBytes:`,
		broken: `case false:`,
		tests:  "TestAFullQueueSkipsAndCounts",
	},
	{
		invariant: "6 a queued rewrite has its own context", file: "rekey/lazy.go",
		guard:  `Context: rec.Context.Clone()}`,
		broken: `Context: rec.Context}`,
		tests:  "TestCallerOwnsItsBuffers",
	},
	{
		invariant: "7 an outage quarantines nothing", file: "rekey/reason.go",
		guard:  `		kmsmigrate.ErrThrottled, kmsmigrate.ErrUnavailable,`,
		broken: `		kmsmigrate.ErrUnavailable,`,
		tests:  "TestAnOutageThatLastsStopsTheSweepAndQuarantinesNothing",
	},
	{
		invariant: "2 what the ledger holds is checked before it replaces a record", file: "kmsmigrate/ledger.go",
		guard:  `	if fits(opened.Plaintext) != nil {`,
		broken: `	if false {`,
		tests:  "TestAnEntryThatDoesNotFitIsAsGoodAsNone",
	},
	{
		invariant: "ledger: no gaps", file: "kmsmigrate/ledger.go",
		guard:  `return &Error{Op: "renew", Retryable: true,`,
		broken: `_ = &Error{Op: "renew", Retryable: true,`,
		tests:  "TestARenewalThatTheLedgerDoesNotTakeFails",
	},
	{
		invariant: "5 a short data key is an error", file: "kmsmigrate/datakey.go",
		guard:  `if len(plaintext) < n || len(ciphertext) == 0 || owned == Foreign {`,
		broken: `if len(ciphertext) == 0 || owned == Foreign {`,
		tests:  "TestADataKeyThatIsShortOrAnothersIsRefused",
	},
}
