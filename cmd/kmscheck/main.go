// Command kmscheck finds and changes what a migration of Alibaba Cloud KMS keys breaks.
//
//	kmscheck ./...                        find it in Go code
//	kmscheck -json ./...                 the same as JSON, which plan.ReadFindings reads: version-id logic blocks the migration tool
//	go vet -vettool=$(which kmscheck) ./...   the same, through go vet
//	kmscheck terraform [-instance kst-…] [-keys MAP] [-only ADDRESS,…] [-write] FILE…   show, or make, the change of Terraform configuration
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/keyhaul/keyhaul/cmd/kmscheck/breaks"
	"github.com/keyhaul/keyhaul/cmd/kmscheck/terraform"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "terraform" {
		if err := rewrite(os.Args[2:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "kmscheck:", err)
			os.Exit(1)
		}
		return
	}
	multichecker.Main(breaks.Analyzer)
}

// rewrite shows the diff of each file, and writes the files where it is told to.
func rewrite(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("kmscheck terraform", flag.ContinueOnError)
	flags.SetOutput(stderr)
	instance := flags.String("instance", "", "id of the instance that the keys were moved into")
	keyMap := flags.String("keys", "", "key map (JSON) of old key ids to new ones, where keys got others")
	only := flags.String("only", "", "addresses that moved, with commas between them (default: all)")
	write := flags.Bool("write", false, "write the files; otherwise only the diff is shown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("no files: give the .tf files to look at")
	}
	options := terraform.Options{Instance: *instance}
	if *only != "" {
		options.Only = strings.Split(*only, ",")
	}
	if *keyMap != "" {
		var err error
		if options.Keys, err = readKeyMap(*keyMap); err != nil {
			return err
		}
	}
	for _, name := range flags.Args() {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		result, err := terraform.Rewrite(name, text, options)
		if err != nil {
			return err
		}
		for _, line := range result.Left {
			_, _ = fmt.Fprintln(stderr, line)
		}
		diff, err := terraform.Diff(name, text, result.Text)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(stdout, diff); err != nil {
			return err
		}
		if *write && diff != "" {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name, result.Text, info.Mode().Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readKeyMap reads the keys of a key map as Keyhaul's kmsmigrate.ParseKeyMap does: {"keys": {"old": "new"}}. A default is no use here: it would
// rename keys that nobody named.
func readKeyMap(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var m struct {
		Default string            `json:"default"`
		Keys    map[string]string `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("key map %s: %w", name, err)
	}
	if len(m.Keys) == 0 {
		return nil, fmt.Errorf("key map %s: it has no keys", name)
	}
	return m.Keys, nil
}
