package plan

// Path is how a key or secret gets to where it is to be. Its text is stable and stands in JSON.
type Path string

// The paths. Every key and every secret has exactly one.
const (
	// PathTool is the console's migration tool, in the same region: KMS 1.0 into an instance.
	PathTool Path = "tool"
	// PathRestore is backup of a software instance and restore in another region of the same country.
	PathRestore Path = "backup-restore"
	// PathRestoreBorder is the same across a border: download, upload, restore.
	PathRestoreBorder Path = "backup-restore-border"
	// PathReencrypt is a new key, and every piece of data encrypted again under it: what the rest of this module does.
	PathReencrypt Path = "re-encrypt"
	// PathResign keeps the old public key, and signs with a new key from then on.
	PathResign Path = "re-sign"
	// PathSecretCopy writes a secret's versions into a new secret.
	PathSecretCopy Path = "secret-copy"
	// PathSecretRecreate deletes a RAM secret and creates it again.
	PathSecretRecreate Path = "secret-recreate"
	// PathService belongs to a cloud product and follows the product's own guide.
	PathService Path = "cloud-service"
	// PathNone has no path that any document gives. Somebody must decide.
	PathNone Path = "no-path"
	// PathNothing needs nothing done.
	PathNothing Path = "nothing"
)

// Paths returns all paths, in the order in which reports list them.
func Paths() []Path {
	return []Path{PathTool, PathRestore, PathRestoreBorder, PathReencrypt, PathResign, PathSecretCopy, PathSecretRecreate, PathService, PathNone, PathNothing}
}

var pathTexts = map[Path]Text{
	PathTool:           {"same-region migration tool", "同地域迁移工具"},
	PathRestore:        {"backup and restore, same country", "备份与恢复（同一国家）"},
	PathRestoreBorder:  {"backup and restore, across a border", "备份与恢复（跨境）"},
	PathReencrypt:      {"new key, re-encrypt the data", "新建密钥并重新加密数据"},
	PathResign:         {"keep the public key, sign with a new key", "保留公钥，使用新密钥签名"},
	PathSecretCopy:     {"copy the secret's versions", "复制凭据的各个版本"},
	PathSecretRecreate: {"delete the secret and create it again", "删除凭据后重新创建"},
	PathService:        {"the cloud product's own guide", "按云产品自身的迁移指南处理"},
	PathNone:           {"no documented path: decide", "文档未给出路径：需要决策"},
	PathNothing:        {"nothing to do", "无需处理"},
}

// Describe returns the path in words.
func (p Path) Describe(l Language) string {
	if t, ok := pathTexts[p]; ok {
		return t.In(l)
	}
	return string(p)
}

// copiesMaterial reports whether the key's own material goes along, so that old ciphertext opens afterwards as before.
func (p Path) copiesMaterial() bool {
	return p == PathTool || p == PathRestore || p == PathRestoreBorder
}
