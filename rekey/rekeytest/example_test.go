package rekeytest_test

import (
	"context"
	"fmt"

	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func ExampleTestStore() {
	store := new(rekeytest.Memory) // yours
	err := rekeytest.TestStore(context.Background(), rekeytest.Subject{
		Store:   store,
		Missing: "no such record",
		Fill: func(ctx context.Context, values [][]byte) error {
			for rec, err := range store.Scan(ctx, rekey.Range{}) {
				if err != nil {
					return err
				}
				store.Delete(rec.ID)
			}
			for i, value := range values {
				store.Put(rekey.Record{ID: fmt.Sprintf("%06d", i), Value: value})
			}
			return nil
		},
	})
	fmt.Println(err)
	// Output: <nil>
}
