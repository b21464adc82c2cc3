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
	// Phase and Signing are those of Config, as text: "old-only", "read-both", "write-new", "rewrite", "new-only".
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

	folder string
}

// Endpoint is a side in a migration file. Empty fields are the application's own: its region, its access key.
type Endpoint struct {
	// Region, Endpoint, VPC, CAFile, Instance and Versions are those of alikms.GatewayConfig.
	Region   string              `json:"region,omitempty"`
	Endpoint string              `json:"endpoint,omitempty"`
	VPC      bool                `json:"vpc,omitempty"`
	CAFile   string              `json:"caFile,omitempty"`
	Instance string              `json:"instance,omitempty"`
	Versions map[string][]string `json:"versions,omitempty"`
	// AccessKeyIDFrom, AccessKeySecretFrom and SecurityTokenFrom name environment variables.
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

// ReadMigrationFile reads a migration file. It fails with kmsmigrate.ErrInvalid where the file cannot be read, has a field that is none of Migration's, or
// a phase that is none of the five.
func ReadMigrationFile(path string) (Migration, error) {
	text, err := os.ReadFile(path) //nolint:gosec // who runs the process names the file
	if err != nil {
		return Migration{}, invalid("the migration file: %w", err)
	}
	m := Migration{folder: filepath.Dir(path)}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Migration{}, invalid("the migration file %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Migration{}, invalid("the migration file %s holds more than one JSON value", path)
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
		return Config{}, invalid(`the migration file: others is %q, and must be "old" or "new"`, clip(m.Others))
	}
	if len(m.KeyMap) > 0 {
		if cfg.Keys, err = kmsmigrate.ParseKeyMap(m.KeyMap); err != nil {
			return Config{}, fmt.Errorf("shim: the migration file: %w", err)
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
		err = invalid("the migration file has no new, so there is nothing to migrate to; only phase old-only can do without")
	}
	return cfg, err
}

func (m Migration) store(file string) (verify.Store, error) {
	if file == "" {
		return nil, nil
	}
	read, err := verify.ReadFile(m.path(file))
	if err != nil {
		return nil, invalid("the migration file: %w", err)
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
	if said.AccessKeyIDFrom != "" || said.AccessKeySecretFrom != "" {
		cfg.Credential = nil
		cfg.AccessKeyID, cfg.AccessKeySecret = os.Getenv(said.AccessKeyIDFrom), os.Getenv(said.AccessKeySecretFrom)
		if cfg.AccessKeyID == "" || cfg.AccessKeySecret == "" {
			return cfg, nil, invalid("the migration file: accessKeyIdFrom and accessKeySecretFrom name the environment variables %q and %q, of which one is not set", clip(said.AccessKeyIDFrom), clip(said.AccessKeySecretFrom))
		}
		cfg.SecurityToken = ""
		if said.SecurityTokenFrom != "" {
			cfg.SecurityToken = os.Getenv(said.SecurityTokenFrom)
		}
	}
	if said.ClientKey == nil {
		return cfg, instance, nil
	}
	form, ok := map[string]alikms.Form{"": alikms.FormMigrationHeader, "migration-header": alikms.FormMigrationHeader, "advance": alikms.FormAdvance}[said.ClientKey.Form]
	if !ok {
		return cfg, nil, invalid(`the migration file: form is %q, and must be "advance" or "migration-header"`, clip(said.ClientKey.Form))
	}
	made := alikms.InstanceConfig{Endpoint: said.ClientKey.Endpoint, ClientKeyFile: m.path(said.ClientKey.File), PasswordFile: m.path(said.ClientKey.PasswordFile), Form: form, Region: cfg.Region}
	if said.ClientKey.CAFile != "" {
		made.CAFile = m.path(said.ClientKey.CAFile)
	}
	return cfg, &made, nil
}

// path is a path of the file, as seen from here.
func (m Migration) path(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(m.folder, file)
}
