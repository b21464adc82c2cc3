package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// apps is how many application processes there are, and shards how many encryption contexts.
const (
	apps   = 3
	shards = 40
)

// config is what a child process needs to know.
type config struct {
	Driver, DSN, Table, Notes string
	Records                   int
	OldEndpoint, AK, SK       string
	OldCA                     []byte
	OldKey                    string
	NewEndpoint, Password     string
	ClientKey, NewCA          []byte
	NewKey                    string
}

func readConfig(path string) (c config, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// limits make a call fail within a few seconds, so that a fault excuses only what happened near it.
var limits = alikms.Limits{Call: 5 * time.Second, Connect: time.Second, BreakAfter: -1}

// stall is how late a clock may be before the machine counts as having stood still: then a call that ran out of time says nothing of the library.
const stall = time.Second

// stalls calls stood whenever this process did not run for so long, until ctx ends.
func stalls(ctx context.Context, stood func()) {
	const tick = 100 * time.Millisecond
	for last := time.Now(); wait(ctx, tick) == nil; last = time.Now() {
		if time.Since(last) > tick+stall {
			stood()
		}
	}
}

// perKey is how many records an application seals with one data key. What is there at the beginning has more to a key when it is much.
const perKey = 20

// envelope joins the two keys. A data key seals so many records, or records of two seconds; with more to a key, of a minute.
func (c config) envelope(ctx context.Context, phase kmsmigrate.PhaseSource, messages int) (*envelope.Envelope, error) {
	gateway, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: "cn-hangzhou", Endpoint: c.OldEndpoint, CAPEM: c.OldCA, AccessKeyID: c.AK, AccessKeySecret: c.SK, Limits: limits,
	})
	if err != nil {
		return nil, err
	}
	instance, err := alikms.NewInstance(alikms.InstanceConfig{
		Endpoint: c.NewEndpoint, ClientKey: c.ClientKey, Password: c.Password, CAPEM: c.NewCA, Region: "cn-shanghai", Instance: "kst-chaos", Limits: limits,
	})
	if err != nil {
		return nil, err
	}
	old, err := gateway.Key(c.OldKey)
	if err != nil {
		return nil, err
	}
	fresh, err := instance.Key(c.NewKey)
	if err != nil {
		return nil, err
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: fresh})
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ { // an application that starts during an outage waits for it to end
		if err = client.Refresh(ctx); err == nil || try == 40 {
			break
		}
		if wait(ctx, 250*time.Millisecond) != nil {
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	age := 2 * time.Second // so short that nearly every read of the short form asks the KMS
	switch {
	case messages > perKey:
		age = time.Minute
	case c.Records >= 100_000:
		age = 10 * time.Second
	}
	return envelope.New(envelope.Config{Keys: client, MaxMessages: int64(messages), MaxAge: age})
}

func (c config) connect() (*sql.DB, error) { return sql.Open(c.Driver, c.DSN) }

// arg turns ? into what the driver takes.
func (c config) arg(statement string) string {
	if c.Driver != "pgx" {
		return statement
	}
	for n := 1; strings.Contains(statement, "?"); n++ {
		statement = strings.Replace(statement, "?", fmt.Sprintf("$%d", n), 1)
	}
	return statement
}

func (c config) declared(ctx context.Context, db *sql.DB) (*rekeysql.Store, error) {
	return rekeysql.Open(ctx, db, rekeysql.Table{
		Name: c.Table, Key: []string{"id"}, Value: "secret", Columns: []string{"shard"},
		Context: func(row map[string]string) kmsmigrate.EncryptionContext {
			return kmsmigrate.EncryptionContext{"shard": row["shard"]}
		},
	})
}

func contextOf(id int64) kmsmigrate.EncryptionContext {
	return kmsmigrate.EncryptionContext{"shard": fmt.Sprint(id % shards)}
}

// text is the plaintext of a record in a revision.
func text(id, revision int64) []byte { return fmt.Appendf(nil, "record %d revision %d", id, revision) }

// revisionOf reads it back; it reports whether the text belongs to the record.
func revisionOf(id int64, plaintext []byte) (int64, bool) {
	var of, revision int64
	n, err := fmt.Sscanf(string(plaintext), "record %d revision %d", &of, &revision)
	return revision, err == nil && n == 2 && of == id
}

// message is one line that a child process prints.
type message struct {
	Kind     string `json:"k"` // begin, ack, phase, reads, error, identity, overwritten, stall, swept
	ID       int64  `json:"id,omitempty"`
	Revision int64  `json:"rev,omitempty"`
	N        int64  `json:"n,omitempty"`
	Text     string `json:"text,omitempty"`
	KMS      bool   `json:"kms,omitempty"` // of an error: the KMS, or what it answered
}

// fromKMS tells errors that a fault of the cloud explains.
func fromKMS(err error) bool {
	for _, known := range []error{
		kmsmigrate.ErrThrottled, kmsmigrate.ErrUnavailable, kmsmigrate.ErrBadAnswer, kmsmigrate.ErrKeyState, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
