package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// check opens every record twice with nothing left in memory: with Keyhaul in phase NewOnly, and with the plain
// application, which has the official SDK, the new instance's RPC face and the new key. Each must say what was
// acknowledged last.
func (s *story) check(ctx context.Context) error {
	env, closeKeys, err := s.world.envelope(ctx, kmsmigrate.NewOnly, false)
	if err != nil {
		return err
	}
	defer closeKeys()
	client, err := s.world.instance.RPCClient()
	if err != nil {
		return err
	}
	defer client.Shutdown()
	plain := newSDKApp(client, s.world.newKey.ID(), perKey)

	bar := s.bars.start("every record is opened twice", int64(s.world.rows))
	defer bar.end()
	rows, err := s.world.db.QueryContext(ctx, `SELECT id, secret FROM customers ORDER BY id`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var seen int64
	for rows.Next() {
		var id int64
		var record []byte
		if err := rows.Scan(&id, &record); err != nil {
			return err
		}
		seen++
		bar.set(seen)
		opened, err := env.Open(ctx, record, nil)
		if err != nil {
			s.result.Lost++
			s.wrong(fmt.Errorf("customer %d: %w", id, err))
			continue
		}
		if !s.ledger.exact(id, string(opened.Plaintext)) {
			s.result.Mismatched++
			s.wrong(fmt.Errorf("customer %d does not say what was written last", id))
			continue
		}
		got, err := plain.open(ctx, id, record)
		if err == nil && !s.ledger.exact(id, string(got)) {
			err = errors.New("it reads something else")
		}
		if err != nil {
			s.result.Mismatched++
			s.wrong(fmt.Errorf("customer %d, with the official SDK alone: %w", id, err))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if missing := int64(s.world.rows) - seen; missing != 0 {
		s.result.Lost += missing
		s.wrong(fmt.Errorf("%d records are gone", missing))
	}
	return nil
}
