package kmstest

import (
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

func createAlias(c *rpcCall) (stamped, *model.Error) {
	if err := c.door.CreateAlias(c.params.get("AliasName"), c.params.get("KeyId")); err != nil {
		return nil, err
	}
	return &answer{}, nil
}

type aliasesAnswer struct {
	answer
	page
	Aliases struct {
		Alias []aliasEntry
	}
}

type aliasEntry struct{ AliasArn, AliasName, KeyId string }

func listAliases(c *rpcCall) (stamped, *model.Error) { return aliasPage(c, "") }

func aliasPage(c *rpcCall, keyRef string) (stamped, *model.Error) {
	all, err := c.door.Aliases(keyRef)
	if err != nil {
		return nil, err
	}
	some, p, err := paged(c.params, all, largestPage)
	if err != nil {
		return nil, err
	}
	a := &aliasesAnswer{page: p}
	a.Aliases.Alias = make([]aliasEntry, len(some))
	for i, s := range some {
		a.Aliases.Alias[i] = aliasEntry{s.ARN, s.Name, s.KeyID}
	}
	return a, nil
}
