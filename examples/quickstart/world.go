package main

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite" // pure Go, so that nothing needs to be installed

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// perKey is how many records the old application sealed with one data key.
const perKey = 20

// world is everything outside of the applications: the fake cloud with the old key in one region and the new key in an
// instance of another, and the database.
type world struct {
	cloud            *kmstest.Cloud
	hangzhou         *kmstest.Region
	instance         *kmstest.Instance
	oldKey, newKey   *kmstest.Key
	db               *sql.DB
	rows             int
	sweepAK, sweepCK string // the sweep's own credentials, by which the fake tells its requests apart
}

func newWorld(ctx context.Context, path string, rows int) (*world, error) {
	cloud, err := kmstest.Start(kmstest.Config{KeepRequests: 1 << 20})
	if err != nil {
		return nil, err
	}
	w := &world{cloud: cloud, rows: rows}
	if err := w.furnish(ctx, path); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) furnish(ctx context.Context, path string) (err error) {
	if w.hangzhou, err = w.cloud.Region("cn-hangzhou"); err != nil {
		return err
	}
	// A default key of KMS 1.0, outside of any instance: the console has no tool for it.
	if w.oldKey, err = w.hangzhou.CreateKey(kmstest.KeySpec{Alias: "alias/customers", UUID: true}); err != nil {
		return err
	}
	shanghai, err := w.cloud.Region("cn-shanghai")
	if err != nil {
		return err
	}
	if w.instance, err = shanghai.CreateInstance(kmstest.InstanceSpec{}); err != nil {
		return err
	}
	if w.newKey, err = w.instance.CreateKey(kmstest.KeySpec{Alias: "alias/customers"}); err != nil {
		return err
	}
	w.db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		return err
	}
	_, err = w.db.ExecContext(ctx, `CREATE TABLE customers (id INTEGER PRIMARY KEY, secret TEXT NOT NULL)`)
	if err != nil {
		return fmt.Errorf("%s: %w (give -db a file that does not exist yet)", path, err)
	}
	return nil
}

func (w *world) close() {
	if w.db != nil {
		_ = w.db.Close()
	}
	_ = w.cloud.Close()
}

// keys makes the two keys as the application sees them, each at its own endpoint. With sweep, they have the sweep's own
// credentials, as its own RAM role would give it.
func (w *world) keys(sweep bool) (old, next kmsmigrate.Key, closeAll func(), err error) {
	accessKeyID, secret := w.cloud.Credentials()
	if sweep {
		accessKeyID, secret = w.cloud.CreateAccessKey()
		w.sweepAK = accessKeyID
	}
	gateway, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: w.hangzhou.ID, Endpoint: w.hangzhou.HTTPS, CAPEM: w.hangzhou.CA(), AccessKeyID: accessKeyID, AccessKeySecret: secret,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	clientKey, err := w.instance.CreateClientKey()
	if err != nil {
		return nil, nil, nil, err
	}
	if sweep {
		w.sweepCK = clientKey.ID
	}
	instance, err := alikms.NewInstance(alikms.InstanceConfig{
		Endpoint: w.instance.Addr, ClientKey: clientKey.JSON, Password: clientKey.Password, CAPEM: w.instance.CA(),
		Region: "cn-shanghai", Instance: w.instance.ID,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	closeAll = func() { _ = gateway.Close(); _ = instance.Close() }
	if old, err = gateway.Key(w.oldKey.ID()); err == nil {
		next, err = instance.Key(w.newKey.ID())
	}
	if err != nil {
		closeAll()
		return nil, nil, nil, err
	}
	return old, next, closeAll, nil
}

// envelope makes what an application adds to its code: a client over the two keys, and records in the format it has. Refresh
// has the old key list its versions, whose ids are UUIDs that nobody can tell apart.
func (w *world) envelope(ctx context.Context, phase kmsmigrate.PhaseSource, sweep bool) (*envelope.Envelope, func(), error) {
	old, next, closeAll, err := w.keys(sweep)
	if err != nil {
		return nil, nil, err
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: next})
	if err == nil {
		err = client.Refresh(ctx)
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	env, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}, MaxMessages: perKey})
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return env, func() { env.Close(); closeAll() }, nil
}

// store is the table as package rekey sees it.
func (w *world) store(ctx context.Context) (*rekeysql.Store, error) {
	return rekeysql.Open(ctx, w.db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"})
}
