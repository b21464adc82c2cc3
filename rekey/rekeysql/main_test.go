package rekeysql_test

import (
	"os"
	"testing"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
)

func TestMain(m *testing.M) {
	fakeprocess.Main()
	os.Exit(m.Run())
}
