// Package rekeyfile finds and replaces encrypted files in a directory tree, for package rekey.
//
//	store, err := rekeyfile.Open("/var/lib/app/documents", rekeyfile.Config{})
//
// A file is replaced as a whole: the new content is written beside it, synced, given the file's mode and times, and renamed
// over it. A crash leaves the old file or the new one, and at worst a file named .keyhaul-* that scans leave out.
//
// # What a file system cannot do
//
// There is no compare-and-swap on files. The comparison and the renaming happen under a lock that every user of this
// package takes, across processes on Unix, so an application that writes with [Store.Write] never loses an update. A writer
// that knows nothing of the lock is noticed when it wrote before the last look at the file, and loses its update when it
// writes between that look and the renaming, which are two system calls apart. Let such a writer stop for the sweep, or
// write through this package.
package rekeyfile
