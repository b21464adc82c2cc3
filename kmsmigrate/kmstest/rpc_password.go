package kmstest

import (
	"crypto/rand"
	"math/big"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type passwordAnswer struct {
	answer
	RandomPassword string
}

// getRandomPassword draws a password from the character classes that are not excluded.
func getRandomPassword(c *rpcCall) (stamped, *model.Error) {
	length, err := c.params.integer("PasswordLength", 8, 128, 32)
	if err != nil {
		return nil, err
	}
	excluded := c.params.get("ExcludeCharacters")
	var classes []string
	for _, class := range []struct{ exclude, characters string }{
		{"ExcludeLowercase", "abcdefghijklmnopqrstuvwxyz"}, {"ExcludeUppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{"ExcludeNumbers", "0123456789"}, {"ExcludePunctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
	} {
		skip, err := c.params.boolean(class.exclude)
		if err != nil {
			return nil, err
		}
		rest := strings.Map(func(r rune) rune {
			if strings.ContainsRune(excluded, r) {
				return -1
			}
			return r
		}, class.characters)
		if !skip && rest != "" {
			classes = append(classes, rest)
		}
	}
	if len(classes) == 0 {
		return nil, model.InvalidParameter("ExcludeCharacters")
	}
	out := make([]byte, length)
	all := strings.Join(classes, "")
	for i := range out {
		from := all
		if i < len(classes) {
			from = classes[i] // one of each class
		}
		out[i] = from[draw(len(from))]
	}
	for i := len(out) - 1; i > 0; i-- {
		j := draw(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	c.plaintextOut(len(out))
	return &passwordAnswer{RandomPassword: string(out)}, nil
}

func draw(n int) int {
	v, _ := rand.Int(rand.Reader, big.NewInt(int64(n))) // crypto/rand does not fail
	return int(v.Int64())
}
