package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// The two tables of "Migrate resources from KMS 1.0 to a KMS 3.0 instance", cell by cell.
func TestTheToolsTables(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		level, spec        string
		multi              bool
		software, hardware bool
	}{
		{"SOFTWARE", "Aliyun_AES_256", false, true, true},
		{"SOFTWARE", "Aliyun_AES_256", true, true, true},
		{"SOFTWARE", "RSA_2048", false, true, false},
		{"SOFTWARE", "EC_P256", false, true, false},
		{"SOFTWARE", "EC_P256K", false, true, false},
		{"HSM", "Aliyun_AES_256", false, true, true},
		{"HSM", "Aliyun_AES_256", true, true, true},
		{"HSM", "Aliyun_SM4", false, false, true},
		{"HSM", "Aliyun_SM4", true, false, true},
		{"HSM", "RSA_2048", false, true, true},
		{"HSM", "EC_P256", false, true, true},
		{"HSM", "EC_P256K", false, true, true},
		{"HSM", "RSA_3072", false, true, true},
		{"HSM", "EC_SM2", false, false, true},
	} {
		for kind, listed := range map[plan.Kind]bool{plan.Software: row.software, plan.Hardware: row.hardware} {
			versions := "single version"
			if row.multi {
				versions = "multi-version"
			}
			t.Run(row.level+" "+row.spec+" ("+versions+") into "+string(kind), func(t *testing.T) {
				t.Parallel()
				k := aKey(spec(row.spec), func(k *plan.Key) { k.ProtectionLevel = row.level })
				if row.multi {
					multi(&k)
				}
				v := verdict(t, estate(place("cn-hangzhou", keys(k))), moveTo("cn-hangzhou", "cn-hangzhou", kind))
				if listed {
					require.Equal(t, plan.PathTool, v.Path)
					require.Contains(t, names(v.Why), "tool.listed")
				} else {
					require.Equal(t, plan.PathReencrypt, v.Path)
					require.Contains(t, names(v.Why), "tool.spec-refused")
				}
			})
		}
	}
}

// Everything that the tables leave out is refused by the tool's rules, in every combination of the words that the service has.
func TestWhatNoTableListsIsNotGuessed(t *testing.T) {
	t.Parallel()
	listed := 0
	for _, level := range []string{"SOFTWARE", "HSM"} {
		for _, s := range []string{"Aliyun_AES_256", "Aliyun_AES_192", "Aliyun_AES_128", "Aliyun_SM4", "RSA_2048", "RSA_3072", "RSA_4096", "EC_P256", "EC_P256K", "EC_SM2"} {
			for _, versions := range []int{1, 2} {
				k := aKey(spec(s), func(k *plan.Key) { k.ProtectionLevel = level })
				if versions == 2 {
					multi(&k)
				}
				v := verdict(t, estate(place("cn-hangzhou", keys(k))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software))
				if v.Path == plan.PathTool {
					listed++
					continue
				}
				require.Equal(t, plan.PathReencrypt, v.Path)
			}
		}
	}
	require.Equal(t, 11, listed, "the cells with a mark in the column of software instances")
}

// "Choose your migration path" of "Migrate keys across regions", row by row.
func TestThePathsAcrossRegions(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		cell string
		key  plan.Key
		to   string
		path plan.Path
		why  string
	}{
		{"software-based KMS instance, same country", aKey(inSource), "cn-shanghai", plan.PathRestore, "path.software-instance"},
		{"software-based KMS instance, cross-border", aKey(inSource), "ap-southeast-1", plan.PathRestoreBorder, "path.software-instance"},
		{"software-based KMS instance, to Hong Kong", aKey(inSource), "cn-hongkong", plan.PathRestoreBorder, "path.software-instance"},
		{"hardware KMS instance, ENCRYPT/DECRYPT symmetric", aKey(inSource, hsm), "cn-shanghai", plan.PathReencrypt, "path.hardware-instance"},
		{"hardware KMS instance, ENCRYPT/DECRYPT asymmetric", aKey(inSource, hsm, spec("RSA_2048")), "cn-shanghai", plan.PathReencrypt, "path.hardware-instance"},
		{"hardware KMS instance, SIGN/VERIFY", aKey(inSource, hsm, spec("EC_P256"), sign), "cn-shanghai", plan.PathResign, "path.sign-verify"},
		{"outside a KMS instance, ENCRYPT/DECRYPT", aKey(), "cn-shanghai", plan.PathReencrypt, "path.default-key"},
		{"outside a KMS instance, SIGN/VERIFY", aKey(spec("RSA_2048"), sign), "cn-shanghai", plan.PathResign, "path.sign-verify"},
		{"encrypted data managed by Alibaba Cloud services", aKey(alias("alias/acs/oss")), "cn-shanghai", plan.PathService, "key.service-guide"},
		{"software-based KMS instance, SIGN/VERIFY: its material goes along", aKey(inSource, spec("EC_P256"), sign), "cn-shanghai", plan.PathRestore, "path.software-instance"},
	} {
		t.Run(row.cell, func(t *testing.T) {
			t.Parallel()
			v := verdict(t, estate(place("cn-hangzhou", keys(row.key))), moveTo("cn-hangzhou", row.to, plan.Software))
			require.Equal(t, row.path, v.Path)
			require.Contains(t, names(v.Why), row.why)
		})
	}
}

// verdict assesses an estate and returns the verdict on its first plan.
func verdict(t *testing.T, inv plan.Inventory, goal plan.Goal) plan.Verdict {
	t.Helper()
	a, err := plan.Assess(inv, goal)
	require.NoError(t, err)
	require.NotEmpty(t, a.Resources)
	return a.Resources[0]
}

func names(findings []plan.Finding) []string {
	out := make([]string, len(findings))
	for i, f := range findings {
		out[i] = f.Rule
	}
	return out
}
