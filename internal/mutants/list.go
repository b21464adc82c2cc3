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
}
