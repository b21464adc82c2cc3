package shim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// MigrationVariable is the environment variable that names the migration file of an application whose code says nothing about a migration:
// one in which packages shim/kms and shim/transfer/sdk take the place of the SDKs, by their import paths alone.
const MigrationVariable = "KEYHAUL_MIGRATION"

// Migration is a migration file: what an application's own code does not say. It is JSON, with these fields and no others:
//
//	{
//	  "phase": "write-new",
//	  "keyMap": {"keys": {"alias/app": "key-hzz…"}},
//	  "new": {"region": "cn-shanghai", "accessKeyIdFrom": "NEW_KMS_ID", "accessKeySecretFrom": "NEW_KMS_SECRET"}
//	}
//
// Paths are relative to the file's folder. Of credentials it holds the names of environment variables or files, never a value. The phase is
// that of the process until it ends: a fleet goes from phase to phase by being restarted. Who wants to change it in between has a
// kmsmigrate.PhaseSwitch, in a Config and with NewMigratingClient.
type Migration struct {
	// Phase and Signing are those of Config, as text: "old-only", "read-both", "write-new", "rewrite", "new-only". A file must say its
	// phase; without signing, the old side signs.
	Phase   kmsmigrate.Phase `json:"phase"`
	Signing kmsmigrate.Phase `json:"signing,omitempty"`
	// KeyMap is Config.Keys, in the form of kmsmigrate.ParseKeyMap.
	KeyMap json.RawMessage `json:"keyMap,omitempty"`
	// Old adds to what the application's constructor says of its endpoint. New is the side to migrate to. Where there is no New, the
	// instance that a constructor of the transfer SDK is given is the new side, and the gateway of its region the old one.
	Old *Endpoint `json:"old,omitempty"`
	New *Endpoint `json:"new,omitempty"`
	// KeyVersions, Others ("old" or "new") and AnswerOldIDs are those of Config.
	KeyVersions  map[string]string `json:"keyVersions,omitempty"`
	Others       string            `json:"others,omitempty"`
	AnswerOldIDs bool              `json:"answerOldIds,omitempty"`
	// Retained and Published are files in the form of verify.ReadFile.
	Retained  string `json:"retained,omitempty"`
	Published string `json:"published,omitempty"`
	// Secrets are the names of the secrets that are switched already.
	Secrets []string `json:"secrets,omitempty"`

	folder, file string
}

// Endpoint is a side in a migration file. Empty fields are the application's own: its region, its access key.
type Endpoint struct {
	// Region, Endpoint, VPC, CAFile, Account, Instance and Versions are those of alikms.GatewayConfig. In one region, name the account of
	// both sides where their access keys differ: see Config.
	Region   string              `json:"region,omitempty"`
	Endpoint string              `json:"endpoint,omitempty"`
	VPC      bool                `json:"vpc,omitempty"`
	CAFile   string              `json:"caFile,omitempty"`
	Account  string              `json:"account,omitempty"`
	Instance string              `json:"instance,omitempty"`
	Versions map[string][]string `json:"versions,omitempty"`
	// AccessKeyIDFrom, AccessKeySecretFrom and SecurityTokenFrom name environment variables: the first two together, the last beside them.
	// None of those named may be unset or empty. Errors name the field and never what stands in it.
	AccessKeyIDFrom     string `json:"accessKeyIdFrom,omitempty"`
	AccessKeySecretFrom string `json:"accessKeySecretFrom,omitempty"`
	SecurityTokenFrom   string `json:"securityTokenFrom,omitempty"`
	// ClientKey is an instance that is asked with a ClientKey: Config.NewInstance.
	ClientKey *ClientKey `json:"clientKey,omitempty"`
}

// ClientKey is an instance in a migration file, asked over the protobuf API.
type ClientKey struct {
	// Endpoint, CAFile, File and PasswordFile are Endpoint, CAFile, ClientKeyFile and PasswordFile of alikms.InstanceConfig.
	Endpoint     string `json:"endpoint"`
	CAFile       string `json:"caFile,omitempty"`
	File         string `json:"file"`
	PasswordFile string `json:"passwordFile"`
	// Form is "advance", for software instances, or "migration-header", as the transfer SDK does. Empty: the latter.
	Form string `json:"form,omitempty"`
}

// Application is what an application's own code says of the KMS that it uses: the old side, as a rule.
type Application struct {
	// Gateway has the region, and the access key or credential.
	Gateway alikms.GatewayConfig
	// Instance is what a constructor of the transfer SDK was given beside. Nil: there is none.
	Instance *alikms.InstanceConfig
}

// ReadMigration reads the file that the environment variable MigrationVariable names. It fails with kmsmigrate.ErrInvalid where the
// variable is not set: an application that stays on the old key because of a forgotten variable is what nobody would notice.
func ReadMigration() (Migration, error) {
	path := os.Getenv(MigrationVariable)
	if path == "" {
		return Migration{}, invalid("the environment variable %s is not set: it names the migration file, and without one nobody knows where to migrate", MigrationVariable)
	}
	return ReadMigrationFile(path)
}

// ReadMigrationFile reads a migration file. It fails with kmsmigrate.ErrInvalid where the file cannot be read, has a field that is none of
// Migration's or is there twice, or has no phase or one that is none of the five.
func ReadMigrationFile(path string) (Migration, error) {
	text, err := os.ReadFile(path) //nolint:gosec // who runs the process names the file
	if err != nil {
		return Migration{}, invalid("the migration file: %w", err)
	}
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return Migration{}, invalid("the migration file %s begins with a byte order mark: save it as UTF-8 without one", path)
	}
	m := Migration{folder: filepath.Dir(path), file: path}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Migration{}, m.wrong(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Migration{}, invalid("the migration file %s holds more than one JSON value", path)
	}
	if name := doubledName(text); name != "" {
		return Migration{}, m.invalid("it says %q twice", clip(name))
	}
	var said struct {
		Phase *string `json:"phase"`
	}
	if json.Unmarshal(text, &said) != nil || said.Phase == nil {
		return Migration{}, m.invalid(`it has no phase: say "phase": "old-only" where nothing has begun`)
	}
	return m, nil
}

// Config makes the Config of the migration of an application. Phase and Signing are constants in it.
func (m Migration) Config(app Application) (Config, error) {
	cfg := Config{
		Phase: m.Phase, Signing: m.Signing, KeyVersions: m.KeyVersions, AnswerOldIDs: m.AnswerOldIDs, Secrets: new(Secrets),
		OldInstance: app.Instance,
	}
	cfg.Secrets.Switch(m.Secrets...)
	var err error
	switch m.Others {
	case "":
	case "old":
		cfg.Others = kmsmigrate.SideOld
	case "new":
		cfg.Others = kmsmigrate.SideNew
	default:
		return Config{}, m.invalid(`others is %q, and must be "old" or "new"`, clip(m.Others))
	}
	if len(m.KeyMap) > 0 {
		if cfg.Keys, err = kmsmigrate.ParseKeyMap(m.KeyMap); err != nil {
			return Config{}, m.wrong(fmt.Errorf("keyMap: %w", err))
		}
	}
	if cfg.Retained, err = m.store(m.Retained); err != nil {
		return Config{}, err
	}
	if cfg.Published, err = m.store(m.Published); err != nil {
		return Config{}, err
	}
	if cfg.Old, cfg.OldInstance, err = m.side(m.Old, app.Gateway, app.Instance); err != nil {
		return Config{}, err
	}
	switch {
	case m.New != nil:
		fresh := app.Gateway
		fresh.Endpoint, fresh.Instance, fresh.CAPEM, fresh.CAFile, fresh.Versions = "", "", nil, "", nil
		cfg.New, cfg.NewInstance, err = m.side(m.New, fresh, nil)
	case app.Instance != nil:
		cfg.New, cfg.NewInstance, cfg.OldInstance = cfg.Old, app.Instance, nil
		cfg.New.Side = kmsmigrate.SideUnknown
	case m.Phase != kmsmigrate.OldOnly:
		err = m.invalid("it has no new, so there is nothing to migrate to; only phase old-only can do without")
	}
	if err == nil && cfg.New.Region != "" && len(m.KeyMap) == 0 {
		err = m.invalid("it has no keyMap, so the key map is empty: nobody knows which new key takes an old one's place")
	}
	return cfg, err
}

func (m Migration) store(file string) (verify.Store, error) {
	if file == "" {
		return nil, nil
	}
	read, err := verify.ReadFile(m.path(file))
	if err != nil {
		return nil, m.wrong(err)
	}
	return read, nil
}

// side adds what the file says of a side to what the application says.
func (m Migration) side(said *Endpoint, cfg alikms.GatewayConfig, instance *alikms.InstanceConfig) (alikms.GatewayConfig, *alikms.InstanceConfig, error) {
	if said == nil {
		return cfg, instance, nil
	}
	if said.Region != "" && said.Region != cfg.Region {
		cfg.Endpoint = ""
	}
	cfg.Region, cfg.Endpoint, cfg.Instance = cmp.Or(said.Region, cfg.Region), cmp.Or(said.Endpoint, cfg.Endpoint), cmp.Or(said.Instance, cfg.Instance)
	cfg.VPC = cfg.VPC || said.VPC
	if said.CAFile != "" {
		cfg.CAPEM, cfg.CAFile = nil, m.path(said.CAFile)
	}
	if said.Versions != nil {
		cfg.Versions = said.Versions
	}
	cfg.Account = cmp.Or(said.Account, cfg.Account)
	if err := m.accessKey(said, &cfg); err != nil {
		return cfg, nil, err
	}
	if said.ClientKey == nil {
		return cfg, instance, nil
	}
	form, ok := map[string]alikms.Form{"": alikms.FormMigrationHeader, "migration-header": alikms.FormMigrationHeader, "advance": alikms.FormAdvance}[said.ClientKey.Form]
	if !ok {
		return cfg, nil, m.invalid(`form is %q, and must be "advance" or "migration-header"`, clip(said.ClientKey.Form))
	}
	made := alikms.InstanceConfig{Endpoint: said.ClientKey.Endpoint, ClientKeyFile: m.path(said.ClientKey.File), PasswordFile: m.path(said.ClientKey.PasswordFile), Form: form, Region: cfg.Region}
	if said.ClientKey.CAFile != "" {
		made.CAFile = m.path(said.ClientKey.CAFile)
	}
	return cfg, &made, nil
}

// accessKey takes the access key of an endpoint out of the environment, where the file names one.
func (m Migration) accessKey(said *Endpoint, cfg *alikms.GatewayConfig) error {
	if said.AccessKeyIDFrom == "" && said.AccessKeySecretFrom == "" && said.SecurityTokenFrom == "" {
		return nil
	}
	cfg.Credential, cfg.AccessKeyID, cfg.AccessKeySecret, cfg.SecurityToken = nil, "", "", ""
	cfg.Account = said.Account // the application's own can be another
	for _, from := range []struct {
		field, variable string
		into            *string
		optional        bool
	}{
		{"accessKeyIdFrom", said.AccessKeyIDFrom, &cfg.AccessKeyID, false},
		{"accessKeySecretFrom", said.AccessKeySecretFrom, &cfg.AccessKeySecret, false},
		{"securityTokenFrom", said.SecurityTokenFrom, &cfg.SecurityToken, true},
	} {
		if from.variable == "" && from.optional {
			continue
		}
		// What stands in the field is not repeated: it may be a secret that was put in the place of its variable's name.
		if from.variable == "" {
			return m.invalid("%s is missing: accessKeyIdFrom and accessKeySecretFrom go together, and securityTokenFrom with them", from.field)
		}
		if *from.into = os.Getenv(from.variable); *from.into == "" {
			return m.invalid("%s must name an environment variable that is set and not empty", from.field)
		}
	}
	return nil
}

// invalid is an error of the file.
func (m Migration) invalid(format string, args ...any) error {
	return m.wrong(fmt.Errorf(format, args...))
}

// wrong says of an error which file it is of. It is kmsmigrate.ErrInvalid.
func (m Migration) wrong(err error) error {
	of := "the migration file"
	if m.file != "" {
		of += " " + m.file
	}
	return invalid("%s: %w", of, err)
}

// path is a path of the file, as seen from here.
func (m Migration) path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(m.folder, file)
}
