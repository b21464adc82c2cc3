package alikms

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// keyName is a key as the caller names it: by id, alias or ARN.
type keyName struct {
	given   string // sent to the service as it is: another account's key needs the full ARN
	id      string // the key id; empty for an alias, which only the service can resolve
	account string // from an ARN
	region  string // from an ARN
}

var (
	keyIDShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
	aliasShape = regexp.MustCompile(`^alias/[A-Za-z0-9/_-]{1,249}$`)
	arnShape   = regexp.MustCompile(`^acs:kms:([a-z0-9-]+):([0-9]*):(key/[^:]+|alias/[^:]+)$`)
)

// parseKeyName reads a key id, an alias ("alias/…") or an ARN of either.
func parseKeyName(given string) (keyName, error) {
	name := keyName{given: given}
	rest := given
	if parts := arnShape.FindStringSubmatch(given); parts != nil {
		name.region, name.account, rest = parts[1], parts[2], strings.TrimPrefix(parts[3], "key/")
	}
	switch {
	case given == "":
		return name, fmt.Errorf("alikms: the key id is empty: %w", kmsmigrate.ErrInvalid)
	case aliasShape.MatchString(rest):
		return name, nil
	case keyIDShape.MatchString(rest):
		name.id = rest
		return name, nil
	default:
		return name, fmt.Errorf("alikms: %q is neither a key id, nor an alias (alias/…), nor the ARN of one (acs:kms:region:account:key/…): %w", clip(given), kmsmigrate.ErrInvalid)
	}
}

// bareKeyID returns the key id of what an answer calls a key: some answers may hold an ARN.
func bareKeyID(answered string) string {
	if parts := arnShape.FindStringSubmatch(answered); parts != nil {
		return strings.TrimPrefix(parts[3], "key/")
	}
	return answered
}

// clip keeps an error readable when somebody passes a whole file where a name belongs.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
