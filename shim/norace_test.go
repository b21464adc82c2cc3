//go:build !race

package shim_test

const raced = false
