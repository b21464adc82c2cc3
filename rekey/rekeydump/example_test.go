package rekeydump_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeydump"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// Which keys would a restore of last month's backup need?
func ExampleRead() {
	ctx := context.Background()
	oldKey, newKey := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: oldKey, New: newKey})
	if err != nil {
		log.Fatal(err)
	}
	was, err := oldKey.Encrypt(ctx, []byte("+86 555"), nil)
	if err != nil {
		log.Fatal(err)
	}
	dump := strings.NewReader("CREATE TABLE `customers` (`id` int, `phone` text, `backup_phone` text);\n" +
		"INSERT INTO `customers` VALUES (1,'" + kmsmigrate.EncodeBlob(was) + "','" + kmsmigrate.EncodeBlob(was) + "'),(2,NULL,'');\n")

	report, err := rekeydump.Read(ctx, dump, rekeydump.Config{
		Codec: rekey.Base64(client), Tables: []rekeysql.Table{{Name: "customers", Value: "phone"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range report.Columns {
		fmt.Printf("%s: %d with the old key, declared %t\n", c.Census.Name, c.Census.Records, c.Declared)
	}
	// Output:
	// customers.backup_phone: 1 with the old key, declared false
	// customers.phone: 1 with the old key, declared true
}
