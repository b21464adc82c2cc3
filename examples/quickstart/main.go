// Command quickstart is a whole migration in one program, with nothing to install but Go.
//
// It starts a fake Alibaba Cloud KMS on loopback. An application made only of the official SDK and AES-GCM writes customer
// records into a SQLite file, under an old key in one region. The application is then rolled to Keyhaul, process by
// process and phase by phase, while its processes go on reading and writing; a sweep moves what nobody reads; a census
// proves that nothing is left; the old key is disabled; and every record is opened again, by Keyhaul with cold caches and
// by an application that has only the official SDK and the new key.
//
//	go run ./examples/quickstart [-rows 20000] [-db FILE] [-json]
//
// It exits with 1 when a record was lost or does not say what was written.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
	}
	os.Exit(code)
}

// run returns the exit code: 0 when all is well, 1 when the migration failed or lost something, 2 for wrong flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rows := flags.Int("rows", 20000, "customer records to migrate, 1 to 10,000,000")
	path := flags.String("db", "", "SQLite file to make and keep (default: a temporary one)")
	asJSON := flags.Bool("json", false, "end with one JSON object")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0, nil
		}
		return 2, nil // the flag package has said why
	}
	if flags.NArg() > 0 {
		return 2, fmt.Errorf("unexpected argument %q: there are flags only, see -h", flags.Arg(0))
	}
	if *rows < 1 || *rows > 10_000_000 {
		return 2, fmt.Errorf("-rows %d: must be 1 to 10,000,000", *rows)
	}
	file := *path
	if file == "" {
		dir, err := os.MkdirTemp("", "keyhaul-quickstart-")
		if err != nil {
			return 1, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		file = filepath.Join(dir, "customers.db")
	} else if _, err := os.Stat(file); err == nil {
		return 2, fmt.Errorf("-db %s: the file exists, and the quickstart makes its own: give another name", file)
	}

	w, err := newWorld(ctx, file, *rows)
	if err != nil {
		return 1, err
	}
	defer w.close()
	s := &story{world: w, out: stdout, bars: newProgress(stdout)}
	if err := s.tell(ctx); err != nil {
		return 1, err
	}
	s.result.table(stdout)
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(s.result); err != nil {
			return 1, err
		}
	}
	if s.result.Lost > 0 || s.result.Mismatched > 0 {
		return 1, fmt.Errorf("%d records were lost and %d do not say what was written; the first problem: %w", s.result.Lost, s.result.Mismatched, s.problem)
	}
	return 0, nil
}
