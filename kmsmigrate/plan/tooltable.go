package plan

// The words of the service that rules turn on (API reference, KeyMetadata).
const (
	levelSoftware = "SOFTWARE"
	levelHSM      = "HSM"
	originKMS     = "Aliyun_KMS"
	originBYOK    = "EXTERNAL"
	usageEncrypt  = "ENCRYPT/DECRYPT"
	usageSign     = "SIGN/VERIFY"
	rotationOff   = "Disabled"
)

var (
	knownStates    = words("Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable")
	knownUsages    = words(usageEncrypt, usageSign)
	knownOrigins   = words(originKMS, originBYOK)
	knownLevels    = words(levelSoftware, levelHSM)
	knownRotations = words("", "Enabled", rotationOff, "Suspended")
	knownSpecs     = words("Aliyun_AES_256", "Aliyun_AES_192", "Aliyun_AES_128", "Aliyun_SM4", "RSA_2048", "RSA_3072", "RSA_4096", "EC_P256", "EC_P256K", "EC_SM2")
	symmetricSpecs = words("Aliyun_AES_256", "Aliyun_AES_192", "Aliyun_AES_128", "Aliyun_SM4")
	knownSecrets   = words("Generic", "Rds", "RAMCredentials", "ECS", "Redis", "PolarDB")
	secretRotation = words("", "Enabled", rotationOff, "Invalid")
)

func words(list ...string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, w := range list {
		set[w] = true
	}
	return set
}

// cell is a row of the documents' two tables ("Notes on key migration"): protection level, specification, single or multi-version.
type cell struct {
	level string
	spec  string
	multi bool
}

// takes is what the row says: into which kinds of instance the tool moves such a key.
type takes struct{ software, hardware bool }

func (t takes) into(k Kind) bool { return k == Software && t.software || k == Hardware && t.hardware }

// toolTable is both tables, row by row. What is not in it, the documents do not list.
var toolTable = map[cell]takes{
	{levelSoftware, "Aliyun_AES_256", false}: {true, true},
	{levelSoftware, "Aliyun_AES_256", true}:  {true, true},
	{levelSoftware, "RSA_2048", false}:       {true, false},
	{levelSoftware, "EC_P256", false}:        {true, false},
	{levelSoftware, "EC_P256K", false}:       {true, false},

	{levelHSM, "Aliyun_AES_256", false}: {true, true},
	{levelHSM, "Aliyun_AES_256", true}:  {true, true},
	{levelHSM, "Aliyun_SM4", false}:     {false, true},
	{levelHSM, "Aliyun_SM4", true}:      {false, true},
	{levelHSM, "RSA_2048", false}:       {true, true},
	{levelHSM, "EC_P256", false}:        {true, true},
	{levelHSM, "EC_P256K", false}:       {true, true},
	{levelHSM, "RSA_3072", false}:       {true, true},
	{levelHSM, "EC_SM2", false}:         {false, true},
}

// toolTakes returns the rule that decides whether the tool moves a key into an instance of that kind: tool.listed where it does.
func toolTakes(k *Key, region string, into Kind) string {
	if k.ProtectionLevel == levelHSM {
		switch {
		case !Mainland(region):
			return "tool.hsm-abroad"
		case k.Origin == originBYOK:
			return "tool.byok-hsm"
		}
	}
	row, listed := toolTable[cell{k.ProtectionLevel, k.Spec, len(k.Versions) > 1}]
	switch {
	case !listed:
		return "tool.spec-unlisted"
	case !row.into(into):
		return "tool.spec-refused"
	default:
		return "tool.listed"
	}
}
