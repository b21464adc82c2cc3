package plan_test

import (
	"fmt"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

const account = "1234567890123456"

var today = time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)

// aKey is an enabled software key outside of any instance, with one version; change says what differs.
func aKey(change ...func(*plan.Key)) plan.Key {
	k := plan.Key{
		Account: account, ID: "0f3c7a52-9a11-4f6c-8f5e-0123456789ab", Creator: account, State: "Enabled", Usage: "ENCRYPT/DECRYPT", Spec: "Aliyun_AES_256",
		Origin: "Aliyun_KMS", ProtectionLevel: "SOFTWARE", Rotation: "Disabled",
		Versions: []plan.Version{{ID: "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf"}}, Tags: map[string]string{},
	}
	for _, f := range change {
		f(&k)
	}
	return k
}

func hsm(k *plan.Key)      { k.ProtectionLevel = "HSM" }
func byok(k *plan.Key)     { k.Origin = "EXTERNAL" }
func sign(k *plan.Key)     { k.Usage = "SIGN/VERIFY" }
func multi(k *plan.Key)    { k.Versions = append(k.Versions, plan.Version{ID: "second"}) }
func rotates(k *plan.Key)  { k.Rotation, k.RotationInterval = "Enabled", 365*24*time.Hour }
func inSource(k *plan.Key) { k.InstanceID = "kst-source" }
func spec(s string) func(*plan.Key) {
	return func(k *plan.Key) { k.Spec = s }
}
func state(s string) func(*plan.Key) {
	return func(k *plan.Key) { k.State = s }
}
func id(s string) func(*plan.Key) {
	return func(k *plan.Key) { k.ID = s }
}
func alias(s ...string) func(*plan.Key) {
	return func(k *plan.Key) { k.Aliases = s }
}
func protected(k *plan.Key) { k.DeletionProtected = true }

func aSecret(change ...func(*plan.Secret)) plan.Secret {
	s := plan.Secret{Name: "db-password", Type: "Generic", Rotation: "Disabled", Versions: []plan.SecretVersion{{ID: "v1", Stages: []string{"ACSCurrent"}}}}
	for _, f := range change {
		f(&s)
	}
	return s
}

func secretType(t string) func(*plan.Secret) {
	return func(s *plan.Secret) { s.Type = t }
}
func under(key string) func(*plan.Secret) {
	return func(s *plan.Secret) { s.EncryptionKeyID = key }
}
func secretIn(instance string) func(*plan.Secret) {
	return func(s *plan.Secret) { s.InstanceID = instance }
}
func name(n string) func(*plan.Secret) {
	return func(s *plan.Secret) { s.Name = n }
}

func place(region string, keys []plan.Key, secrets ...plan.Secret) plan.Place {
	return plan.Place{Account: account, Region: region, Complete: true, Keys: keys, Secrets: secrets}
}

func estate(places ...plan.Place) plan.Inventory {
	return plan.Inventory{Schema: plan.InventorySchema, Taken: today, Places: places}
}

func keys(k ...plan.Key) []plan.Key { return k }

// moveTo is a goal with one move.
func moveTo(from, to string, kind plan.Kind, change ...func(*plan.Goal)) plan.Goal {
	g := plan.Goal{Schema: plan.GoalSchema, Now: today, Moves: []plan.Move{{From: from, To: to, Target: plan.Target{Kind: kind, Instance: "kst-target", Image: "3.1.0", Reachable: true}}}}
	for _, f := range change {
		f(&g)
	}
	return g
}

func note(keyID string, n plan.KeyNote) func(*plan.Goal) {
	return func(g *plan.Goal) {
		if g.Keys == nil {
			g.Keys = map[string]plan.KeyNote{}
		}
		g.Keys[keyID] = n
	}
}

func target(change func(*plan.Target)) func(*plan.Goal) {
	return func(g *plan.Goal) { change(&g.Moves[0].Target) }
}

func approved(g *plan.Goal) { g.LegalApproval = "LEGAL-17" }

// made is an estate of n keys with a tenth as many secrets, of all sorts, in five regions.
func made(n int) plan.Inventory {
	regions := []string{"ap-southeast-1", "cn-beijing", "cn-hangzhou", "cn-hongkong", "cn-shanghai"}
	specs := []string{"Aliyun_AES_256", "Aliyun_AES_256", "RSA_2048", "EC_P256", "EC_P256K", "RSA_3072", "EC_SM2", "Aliyun_SM4", "RSA_4096"}
	states := []string{"Enabled", "Enabled", "Enabled", "Enabled", "Disabled", "PendingDeletion", "PendingImport"}
	places := make([]plan.Place, len(regions))
	for i, r := range regions {
		places[i] = place(r, nil)
	}
	for i := range n {
		k := aKey(id(fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i*7919)), spec(specs[i%len(specs)]), state(states[(i/3)%len(states)]))
		if i%4 == 1 {
			hsm(&k)
		}
		if i%5 == 2 {
			byok(&k)
		}
		if i%6 == 3 {
			multi(&k)
		}
		if i%7 == 4 {
			rotates(&k)
		}
		if i%8 == 5 {
			k.InstanceID = "kst-source"
		}
		if i%9 == 6 {
			sign(&k)
		}
		if i%31 == 30 {
			k.Aliases = []string{"alias/acs/oss"}
		}
		p := &places[i%len(places)]
		p.Keys = append(p.Keys, k)
		if i%10 == 0 {
			s := aSecret(name(fmt.Sprintf("secret-%06d", i)), under(k.ID), secretIn(k.InstanceID))
			s.Type = []string{"Generic", "Generic", "Rds", "RAMCredentials", "ECS"}[(i/10)%5]
			p.Secrets = append(p.Secrets, s)
		}
	}
	return estate(places...)
}

// everywhere moves each of made's regions: some stay, some cross a border.
func everywhere() plan.Goal {
	to := func(from, to string, kind plan.Kind) plan.Move {
		return plan.Move{From: from, To: to, Target: plan.Target{Kind: kind, Instance: "kst-" + from, Image: "3.1.0", Reachable: true}}
	}
	return plan.Goal{Schema: plan.GoalSchema, Now: today, Moves: []plan.Move{
		to("cn-hangzhou", "cn-hangzhou", plan.Software), to("cn-shanghai", "cn-shanghai", plan.Hardware), to("cn-beijing", "cn-chengdu", plan.Software),
		to("cn-hongkong", "ap-southeast-7", plan.Software), to("ap-southeast-1", "eu-central-1", plan.Hardware),
	}}
}
