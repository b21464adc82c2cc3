package plan_test

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// An inventory, as Collect returns it or ReadInventory reads it; a goal; what must move by which path; and the order of work.
func Example() {
	inventory, err := plan.ReadInventory(strings.NewReader(`{"schema": "keyhaul.inventory/1", "places": [
		{"account": "1234567890123456", "region": "cn-hangzhou", "complete": true, "keys": [
			{"region": "cn-hangzhou", "id": "0f3c7a52-9a11-4f6c-8f5e-0123456789ab", "state": "Enabled", "usage": "ENCRYPT/DECRYPT", "spec": "Aliyun_AES_256",
			 "origin": "Aliyun_KMS", "protection_level": "SOFTWARE", "rotation": "Enabled", "versions": [{"id": "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf"}]}]}]}`))
	if err != nil {
		log.Fatal(err)
	}
	goal := plan.Goal{Moves: []plan.Move{{From: "cn-hangzhou", To: "cn-hangzhou", Target: plan.Target{Kind: plan.Software}}}}
	assessment, err := plan.Assess(inventory, goal)
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range assessment.Resources {
		fmt.Println(v.ID, v.Path)
		for _, b := range v.Blockers {
			rule, _ := plan.FindRule(b.Rule)
			fmt.Println(" ", b.Rule+":", rule.Do.EN)
		}
	}
	work, err := plan.Build(assessment, plan.BuildConfig{})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range work.Steps {
		fmt.Println(s.Kind, s.Mode)
	}
	// Output:
	// 0f3c7a52-9a11-4f6c-8f5e-0123456789ab tool
	//   key.rotation-on: Switch it off before the move.
	// inventory automatic
	// decide manual
	// roles manual
	// code-findings automatic
	// target manual
	// connect manual
	// rotation-off automatic
	// freeze-begin manual
	// tool-keys manual
	// tool-reconcile manual
	// compare automatic
	// freeze-end manual
	// rotation-on automatic
}

func ExampleEstimateSweep() {
	estimates, err := plan.EstimateSweep(plan.Load{Records: 3_600_000, DataKeys: 3_600}, plan.Endpoint{QPS: 1000, Share: 0.25}, plan.Endpoint{QPS: 2000, Share: 0.25}, plan.DefaultPrices())
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range estimates {
		fmt.Println(e.Mode, e.Possible, e.Old+e.New, e.Takes)
	}
	// Output:
	// re-wrap true 10800000 4h0m0s
	// re-encrypt-call false 0 0s
	// shared-key-table true 10800 14.4s
}

func ExamplePlan_Markdown() {
	var work plan.Plan // from Build
	if err := work.Markdown(os.Stdout, plan.RunbookConfig{Language: plan.Chinese}); err != nil {
		log.Fatal(err)
	}
}
