package rekeydump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// ReadDir counts what a directory tree holds: files that end in .sql or .dump as [Read] does, .csv and .tsv (a table named
// as the file, columns named by the first line) as [ReadCSV], each also with .gz after it. Any other file is a record by
// itself, which is counted under its directory: declare that as a table (Name: the directory's path, "." for the top; Value:
// "file"). For a directory of which the application's files are the records there is package rekeyfile as well.
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
	err = fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("rekeydump: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		n, err := c.file(ctx, files, file)
		read += n
		if err != nil {
			return fmt.Errorf("rekeydump: file %s: %w", file, err)
		}
		return nil
	})
	return read, err
}

func (c *counter) file(ctx context.Context, files fs.FS, file string) (read int64, err error) {
	f, err := files.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	base := strings.TrimSuffix(path.Base(file), ".gz")
	table := strings.TrimSuffix(base, path.Ext(base))
	switch path.Ext(base) {
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
	to, err := c.target(name{table: path.Dir(file)}, []field{{name: "file"}}, 1)
	if err == nil {
		c.row(to, []value{v})
	}
	return read, err
}
