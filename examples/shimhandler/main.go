// Command shimhandler shows how an application in another language migrates: it points its SDK at a socket, where a shim.Handler listens.
//
//	go run ./examples/shimhandler [-listen unix:/run/kms.sock | -listen 127.0.0.1:0] [-app auto|node|go]
//
// It starts a fake Alibaba Cloud KMS with a key in one region and its successor in another, and a handler between. The application is a Node
// program of forty lines or, where there is no Node, a Go program that has only the official SDK. It knows one access key, which is good for
// nothing else, and the alias of the old key; it is never told of the migration. The phases go by, its values are renewed as it reads
// them, the old key is disabled, and it goes on reading. What went where is printed line by line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/keyhaul/keyhaul/shim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "shimhandler:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("shimhandler", flag.ContinueOnError)
	listen := flags.String("listen", "", "unix:PATH or a loopback address (default: a Unix socket in a temporary folder)")
	kind := flags.String("app", "auto", "node, go, or auto: node where it is installed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "keyhaul-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	address := *listen
	if address == "" {
		address = "unix:" + filepath.Join(folder, "kms.sock")
	}
	if *kind == "auto" {
		*kind = "go"
		if _, err := exec.LookPath("node"); err == nil {
			*kind = "node"
		}
	}

	w, err := newWorld()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	listener, err := shim.Listen(ctx, address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: w.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
	}()

	app, err := startApp(ctx, *kind, folder, listener.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.close()) }()
	_, _ = fmt.Fprintf(out, "a %s program asks a KMS at %s\n\n", *kind, listener.Addr().Network())
	return w.tell(ctx, app, out)
}

// startApp starts the application, which is told where its KMS is and with which access key to ask.
func startApp(ctx context.Context, kind, folder string, at net.Addr) (app, error) {
	switch kind {
	case "node":
		return startNode(ctx, folder, at)
	case "go":
		return startGo(at)
	default:
		return nil, fmt.Errorf("-app %q: it is node, go or auto", kind)
	}
}
