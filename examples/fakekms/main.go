// Command fakekms serves package kmstest to programs in any language.
//
//	go run ./examples/fakekms -dir DIR [-config FILE] [-keep]
//
// It writes DIR/fakekms.json with addresses, credentials, certificates and keys, prints one line "ready", and serves on loopback until it is
// interrupted. Without a config there are the region cn-hangzhou with three keys and a secret, and the region cn-shanghai with a software
// and a hardware instance. With -keep the state lives in DIR/state.json, and the next start goes on with it, on the same ports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakekms:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, usage io.Writer) error {
	flags := flag.NewFlagSet("fakekms", flag.ContinueOnError)
	flags.SetOutput(usage)
	dir := flags.String("dir", "", "where to write fakekms.json, certificates and client keys (required)")
	file := flags.String("config", "", "JSON file that says what there is; see config.go")
	keep := flags.Bool("keep", false, "keep the state in DIR/state.json and go on with it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return fmt.Errorf("usage: fakekms -dir DIR [-config FILE] [-keep]")
	}
	want, err := readConfig(*file)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	config := kmstest.Config{Account: want.Account}
	if *keep {
		config.StateFile = filepath.Join(root, "state.json")
	}
	cloud, err := kmstest.Start(config)
	if err != nil {
		return err
	}
	err = publish(cloud, want, root)
	if err == nil {
		_, err = fmt.Fprintln(out, "ready")
	}
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, cloud.Close())
}
