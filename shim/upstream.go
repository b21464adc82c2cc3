package shim

import (
	"context"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

const apiVersion = "2016-01-20"

// endpoint is where calls go on to, with credentials and connections of its own: using the client that the shim is installed in
// would come back to the shim.
type endpoint interface {
	// call carries out one operation and returns what came back, whatever it is, as an answer.
	call(ctx context.Context, action string, p params) *answer
	// foreign reports whether a code of a decryption means that the ciphertext is another key's.
	foreign(code string) bool
	// close ends calls under way, and all that is open.
	close()
}

// upstream is an endpoint of the OpenAPI: a region's shared gateway, or the RPC face of an instance.
type upstream struct {
	which   kmsmigrate.Side
	gateway *alikms.Gateway
	codes   map[string]bool
}

func newUpstream(which kmsmigrate.Side, cfg alikms.GatewayConfig) (*upstream, error) {
	if cfg.Side == kmsmigrate.SideUnknown {
		cfg.Side = which
	}
	gateway, err := alikms.NewGateway(cfg)
	if err != nil {
		return nil, invalid("%s side: %w", which, err)
	}
	return &upstream{which: which, gateway: gateway, codes: foreignCodes(cfg.ForeignCodes)}, nil
}

func foreignCodes(given []string) map[string]bool {
	if given == nil {
		given = alikms.DefaultForeignCodes()
	}
	codes := map[string]bool{}
	for _, code := range given {
		codes[code] = true
	}
	return codes
}

func (u *upstream) foreign(code string) bool { return u.codes[code] }

func (u *upstream) close() { _ = u.gateway.Close() } // it never fails

func (u *upstream) call(ctx context.Context, action string, p params) *answer {
	a := &answer{status: 200, side: u.which.String()}
	_, err := u.gateway.Raw(ctx, alikms.RawCall{
		Action: action, Parameters: p, Once: !repeats(action), Secret: p.secrets(), Revealing: action == "GetSecretValue" || action == "Decrypt",
		Check: func(body []byte) string { return a.take(action, body) },
	})
	if err != nil {
		return refused(u.which, err)
	}
	return a
}

// repeats reports whether an operation changes nothing, so that carrying it out twice does no harm.
func repeats(action string) bool {
	for _, beginning := range []string{"Encrypt", "Decrypt", "ReEncrypt", "Generate", "ExportDataKey", "Advance", "Asymmetric", "CertificateP", "Get", "Describe", "List"} {
		if strings.HasPrefix(action, beginning) {
			return true
		}
	}
	return false
}
