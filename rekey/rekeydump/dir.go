package rekeydump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// ReadDir counts what a directory tree holds: files that end in .sql or .dump as [Read] does, .csv and .tsv (a table named
// as the file, columns named by the first line) as [ReadCSV], each also with .gz after it. Any other file is a record by
// itself, which is counted under its directory: declare that as a table (Name: the directory's path, "." for the top; Value:
// "file"). Endings count in capitals too. What may hold rows and is not read is an error: a symbolic link, an archive, a
// database, another compression than gzip, a dump of which the rows are in files beside it. For a directory of which the application's files are the records there is package rekeyfile as well.
func ReadDir(ctx context.Context, files fs.FS, c Config) (Report, error) {
	count, err := newCounter(c)
	if err != nil {
		return Report{}, err
	}
	read, err := count.dir(ctx, files)
	if err == nil {
		err = count.missing()
	}
	return count.report(read, err == nil), err
}

func (c *counter) dir(ctx context.Context, files fs.FS) (read int64, err error) {
	dirs := map[string]map[string]bool{}
	err = fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("rekeydump: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if entry.IsDir() {
			return nil
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("rekeydump: file %s is a symbolic link or no regular file, which is not followed: %w", file, kmsmigrate.ErrInvalid)
		}
		if err := beside(files, file, dirs); err != nil {
			return err
		}
		c.reading = file
		n, err := c.file(ctx, files, file)
		read += n
		if err != nil {
			return fmt.Errorf("rekeydump: file %s: %w", file, err)
		}
		return nil
	})
	return read, err
}

// beside refuses a dump whose rows are in a file of text beside it, as mysqldump --tab and MySQL Shell write them. It keeps
// in dirs what the directories with dumps hold.
func beside(files fs.FS, file string, dirs map[string]map[string]bool) error {
	base := strings.ToLower(path.Base(file))
	if base == "@.json" {
		return fmt.Errorf("rekeydump: file %s is of a dump by MySQL Shell, which is not read: use a plain dump: %w", file, kmsmigrate.ErrInvalid)
	}
	stem, ok := strings.CutSuffix(strings.TrimSuffix(base, ".gz"), ".sql")
	if !ok {
		return nil
	}
	dir := path.Dir(file)
	if dirs[dir] == nil {
		entries, err := fs.ReadDir(files, dir)
		if err != nil {
			return fmt.Errorf("rekeydump: %w", err)
		}
		dirs[dir] = map[string]bool{}
		for _, e := range entries {
			name := strings.TrimSuffix(strings.ToLower(e.Name()), ".gz")
			if ext := path.Ext(name); ext == ".txt" || ext == ".tsv" {
				dirs[dir][strings.TrimSuffix(name, ext)] = true
			}
		}
	}
	if dirs[dir][stem] {
		return fmt.Errorf("rekeydump: file %s has its rows in a .txt or .tsv file beside it (mysqldump --tab): use a plain dump: %w", file, kmsmigrate.ErrInvalid)
	}
	return nil
}

func (c *counter) file(ctx context.Context, files fs.FS, file string) (read int64, err error) {
	f, err := files.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	base := path.Base(file)
	if strings.EqualFold(path.Ext(base), ".gz") {
		base = base[:len(base)-len(".gz")]
	}
	table := strings.TrimSuffix(base, path.Ext(base))
	switch strings.ToLower(path.Ext(base)) {
	case ".sql", ".dump":
		return readSQL(ctx, f, c)
	case ".csv":
		return readCSV(ctx, f, CSV{Table: table}, c)
	case ".tsv":
		return readCSV(ctx, f, CSV{Table: table, Comma: '\t'}, c)
	}
	v := value{most: c.most}
	buf := make([]byte, bufferSize)
	for {
		n, err := f.Read(buf)
		v.add(buf[:n])
		read += int64(n)
		if errors.Is(err, io.EOF) || v.cut {
			break
		}
		if err != nil {
			return read, err
		}
	}
	head := v.raw[:min(len(v.raw), headSize)]
	switch why := unread(head); {
	case why != "":
		return read, wrong(1, "%s", why)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return read, wrong(1, "this is compressed with gzip, and its name does not say what it is: .sql.gz, .dump.gz, .csv.gz or .tsv.gz")
	case isDump(head):
		return read, wrong(1, "this begins as a dump does: let its name end in .sql")
	}
	to, err := c.target(name{table: path.Dir(file)}, []field{{name: "file"}}, 1)
	if err == nil {
		c.row(to, []value{v})
	}
	return read, err
}
