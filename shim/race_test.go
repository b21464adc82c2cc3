//go:build race

package shim_test

// raced says that the race detector is on: the table then gives each form its turn instead of every form to every row.
const raced = true
