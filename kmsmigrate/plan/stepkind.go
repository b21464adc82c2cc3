package plan

import (
	"sync"
	"time"
)

// Mode says who does a step.
type Mode string

// The modes.
const (
	Manual    Mode = "manual"    // people do it, in a console, a contract or a repository
	Automatic Mode = "automatic" // a program can do it: package execute, rekey or the analyzer
)

// StepKind is what steps of one kind have in common.
type StepKind struct {
	Name  string        `json:"name"`
	Mode  Mode          `json:"mode"`
	Takes time.Duration `json:"takes"` // a guess for schedules; the backup's five minutes are the document's
	Title Text          `json:"title"`
	Do    Text          `json:"do"`
	Check Text          `json:"check"` // how one knows that it is done
	Back  Text          `json:"back"`  // the way back
	Sees  Text          `json:"sees"`  // what the application sees meanwhile
}

// StepKinds returns all kinds, in the order in which plans use them.
func StepKinds() []StepKind { return append([]StepKind(nil), stepKinds...) }

var kindsByName = sync.OnceValue(func() map[string]StepKind {
	index := map[string]StepKind{}
	for _, k := range stepKinds {
		index[k.Name] = k
	}
	return index
})

var (
	seesNothing = Text{"Nothing.", "无影响。"}
	backNone    = Text{"Nothing to take back.", "无需回退。"}
)

const hour = time.Hour

var stepKinds = []StepKind{
	{"inventory", Automatic, hour,
		Text{"Collect the inventory again", "重新收集清单"},
		Text{"Collect source and destination, and compare with the inventory that this plan was made from.", "收集源端与目标端清单，并与本计划所用清单比对。"},
		Text{"No gaps; a new assessment and plan, and their diff is empty.", "无缺口；重新评估与计划，差异为空。"}, backNone, seesNothing},
	{"roles", Manual, hour,
		Text{"Make separate RAM roles", "创建相互分离的 RAM 角色"},
		Text{"Four roles: inventory (List, Describe, Get of metadata), copy (CreateKey, CreateAlias, CreateSecret, GetSecretValue), sweep (Encrypt, Decrypt, GenerateDataKey), retirement (DisableKey, ScheduleKeyDeletion). Nobody holds sweep and retirement together.",
			"四个角色：清单（List、Describe 等元数据读取）、复制（CreateKey、CreateAlias、CreateSecret、GetSecretValue）、重加密（Encrypt、Decrypt、GenerateDataKey）、停用（DisableKey、ScheduleKeyDeletion）。重加密与停用不得由同一人持有。"},
		Text{"Each role is refused what the others may do.", "每个角色调用其他角色的操作均被拒绝。"}, Text{"Delete the roles.", "删除角色。"}, seesNothing},
	{"decide", Manual, 8 * hour,
		Text{"Settle the blockers", "解决阻塞项"},
		Text{"Go through every resource that is blocked or has no path, and decide.", "逐项处理被阻塞或没有路径的资源并作出决定。"},
		Text{"A new assessment shows no blocker.", "重新评估后没有阻塞项。"}, backNone, seesNothing},
	{"approve-border", Manual, 5 * day,
		Text{"Get the approval to cross the border", "取得跨境批准"},
		Text{"Have legal and compliance approve that plaintext, data keys or backups of these resources cross the border, and record the reference in the goal.", "由法务与合规批准这些资源的明文、数据密钥或备份跨境，并在目标文件中登记编号。"},
		Text{"legal_approval in the goal names the approval.", "目标文件的 legal_approval 已填写。"}, backNone, seesNothing},
	{"use-statement", Manual, 2 * day,
		Text{"State who uses each key", "声明每个密钥的使用方"},
		Text{"Read ActionTrail for the shared gateway and SLS for the dedicated one, ask owners for declared copies (backups, replicas, analytics), and write the list into the goal.", "查阅 ActionTrail（共享网关）与 SLS（专属网关），向负责人确认已声明的副本（备份、复制、分析），并写入目标文件。"},
		Text{"uses_stated is set for each key.", "每个密钥都已设置 uses_stated。"}, backNone, seesNothing},
	{"code-findings", Automatic, 4 * hour,
		Text{"Find and remove what the move breaks in code", "查找并移除代码中会被破坏的逻辑"},
		Text{"Run the analyzer over every application. Remove comparisons of key version ids, and hard-wired key ids, endpoints and regions.", "对所有应用运行分析器；移除版本 ID 比较以及硬编码的密钥 ID、接入点和地域。"},
		Text{"The analyzer reports nothing, in what is deployed.", "对已部署版本分析器无报告。"}, Text{"Deploy the release before.", "回滚到上一版本。"}, Text{"A normal release.", "一次常规发布。"}},
	{"target", Manual, 2 * hour,
		Text{"Have the instance ready", "准备目标实例"},
		Text{"Buy or enlarge the instance, upgrade its image, enable it, switch automatic renewal on.", "购买或扩容实例、升级镜像、启用并开启自动续费。"},
		Text{"Status Connected, image and quota as the plan asks.", "状态为 Connected，镜像与配额满足计划要求。"}, Text{"Leave it unused. Do not release it once a key is in it.", "保持闲置；一旦存有密钥切勿释放。"}, seesNothing},
	{"connect", Manual, 4 * hour,
		Text{"Connect the networks", "打通网络"},
		Text{"Bind the VPCs or connect them (CEN, VPN), and open what each process needs to the instance's address.", "绑定 VPC 或通过云企业网/VPN 打通，为各进程放通实例地址。"},
		Text{"From every host that runs a reader, a writer or the sweep, a TLS connection to the instance succeeds.", "在每台运行读、写或重加密进程的主机上均可与实例建立 TLS 连接。"}, Text{"Undo the binding.", "撤销绑定。"}, seesNothing},
	{"access", Manual, 2 * hour,
		Text{"Make access point, policy, network rule and ClientKey", "创建接入点、权限策略、网络规则和 ClientKey"},
		Text{"Make them for each application, rewrite the resource names in RAM and key policies, and hand out ClientKey, password and CA as secrets.", "为每个应用创建上述对象，改写 RAM 与密钥策略中的资源名称，并以机密方式分发 ClientKey、口令与 CA 证书。"},
		Text{"One allowed and one forbidden call from each application's host behave so.", "在每个应用主机上各验证一次允许与拒绝的调用。"}, Text{"Delete the access point.", "删除接入点。"}, seesNothing},
	{"rotation-off", Automatic, hour,
		Text{"Switch automatic rotation off", "关闭自动轮转"},
		Text{"Switch automatic rotation of these keys and secrets off, and note the intervals.", "关闭这些密钥与凭据的自动轮转，并记录周期。"},
		Text{"DescribeKey and DescribeSecret say Disabled.", "DescribeKey 与 DescribeSecret 返回 Disabled。"}, Text{"Switch it on again with the noted interval.", "按记录的周期重新开启。"}, seesNothing},

	{"freeze-begin", Manual, hour,
		Text{"Freeze control operations", "冻结管控操作"},
		Text{"From now on nobody creates, changes or deletes keys, secrets or instances: no tags, rotation, access points, terraform apply or pipelines. Off-peak.", "自此不得创建、修改或删除密钥、凭据和实例：包括标签、轮转、接入点、terraform apply 与流水线。选择业务低峰期。"},
		Text{"Pipelines are stopped; ActionTrail shows no write for ten minutes.", "流水线已停止；ActionTrail 十分钟内无写操作。"}, Text{"End the freeze.", "解除冻结。"}, Text{"Encryption, decryption and reading secrets go on.", "加解密与读取凭据不受影响。"}},
	{"tool-keys", Manual, hour / 2,
		Text{"Move a batch of keys with the tool", "使用迁移工具迁移一批密钥"},
		Text{"KMS 1.0 console, Migration Tool: select these keys (at most 50) and the target instance.", "在 KMS 1.0 控制台的迁移工具中选择这些密钥（最多 50 个）和目标实例。"},
		Text{"They are in Migrated Keys. A record that was encrypted before opens.", "已出现在“已迁移密钥”中；迁移前加密的记录可解密。"}, Text{"None: the tool does not move back. The keys are the same keys, and old ciphertext opens.", "不可回退：工具不支持迁回；密钥仍为同一密钥，旧密文可解密。"}, Text{"Nothing, unless it compares key version ids.", "除非比较版本 ID，否则无影响。"}},
	{"tool-secrets", Manual, hour / 2,
		Text{"Move a batch of secrets with the tool", "使用迁移工具迁移一批凭据"},
		Text{"KMS 1.0 console, Migration Tool: select these secrets (at most 50). Their keys have moved before.", "在迁移工具中选择这些凭据（最多 50 个）；其主密钥已先行迁移。"},
		Text{"They are in Migrated Secrets, and GetSecretValue answers.", "已出现在“已迁移凭据”中，GetSecretValue 正常返回。"}, Text{"None: the tool does not move back.", "不可回退。"}, seesNothing},
	{"tool-reconcile", Manual, hour,
		Text{"Reconcile the tool's four columns", "核对迁移工具的四列数字"},
		Text{"Compare Keys Not Migrated, Migrated Keys, Secrets Not Migrated and Migrated Secrets with this plan, and list what stays behind.", "将四列数字与本计划核对，并列出留下的资源。"},
		Text{"Nothing is left that this plan gave to the tool.", "计划中交由工具的资源没有遗留。"}, backNone, seesNothing},
	{"compare", Automatic, hour,
		Text{"Compare what the documents promise unchanged", "比对文档承诺不变的元数据"},
		Text{"Collect again. Compare id, state, deletion protection, alias and tags of keys; name, status and tags of secrets; one allowed and one denied call of the policies.", "重新收集并比对：密钥的 ID、状态、删除保护、别名、标签；凭据的名称、状态、标签；策略各验证一次允许与拒绝。"},
		Text{"No difference.", "没有差异。"}, backNone, seesNothing},
	{"terraform", Manual, 2 * hour,
		Text{"Change the Terraform configuration", "修改 Terraform 配置"},
		Text{"Run the rewriter, then terraform plan. No apply since the move began. Stop if the plan destroys or replaces a key.", "运行改写工具后执行 terraform plan；迁移开始后不得 apply；若 plan 显示销毁或替换密钥则停止。"},
		Text{"terraform plan shows no change.", "terraform plan 显示无变更。"}, Text{"Restore the configuration from version control. Do not apply.", "从版本控制恢复配置，不要 apply。"}, seesNothing},
	{"freeze-end", Manual, hour / 2,
		Text{"End the freeze", "解除冻结"},
		Text{"Start pipelines again.", "恢复流水线。"}, Text{"The first pipeline run changes nothing.", "首次流水线运行无变更。"}, Text{"Freeze again.", "重新冻结。"}, seesNothing},

	{"backup", Manual, 5 * time.Minute,
		Text{"Back up the source instance", "备份源实例"},
		Text{"KMS console, Security Operations, Disaster Recovery, Backups: enable a backup instance for the source. One is free for each region; it backs up one instance.", "KMS 控制台，安全运维、容灾管理、备份管理：为源实例启用备份实例；每个地域赠送一个，仅备份一个实例。"},
		Text{"The backup of this hour is listed. It takes about five minutes.", "列表中出现本小时的备份；约需五分钟。"}, Text{"Disable the backup instance.", "停用备份实例。"}, seesNothing},
	{"backup-download", Manual, hour,
		Text{"Download the backup", "下载备份"},
		Text{"Download Backup Data and save the Encryption Key apart from it: another person, another medium.", "下载备份数据，并将加密密钥与文件分开保存（不同人员、不同介质）。"},
		Text{"Both exist, in two places.", "二者均已保存且位于不同位置。"}, Text{"Destroy both.", "销毁二者。"}, seesNothing},
	{"backup-upload", Manual, hour,
		Text{"Upload the backup in the destination", "在目标地域上传备份"},
		Text{"Console of the destination region, Backups, Upload Backup: decryption key, name, file.", "目标地域控制台，备份管理，上传备份：解密密钥、名称、文件。"},
		Text{"It is in the list of backups.", "已出现在备份列表中。"}, Text{"Delete the uploaded backup.", "删除已上传的备份。"}, seesNothing},
	{"restore", Manual, hour,
		Text{"Restore into the target instance", "恢复到目标实例"},
		Text{"View Data, then go through all three tabs - fully backed up, incrementally backed up, rotated - and restore these keys, then their secrets.", "查看数据，依次处理三个页签（全量备份、增量备份、轮转密钥），先恢复密钥，再恢复凭据。"},
		Text{"Each key id is in the destination with all versions; a record of the source opens there.", "每个密钥 ID 及全部版本均在目标地域；源端的一条记录可在目标端解密。"}, Text{"Nothing changed in the source. Leave the copies where they are.", "源端未变；保留副本即可。"}, seesNothing},
	{"backup-destroy", Manual, hour,
		Text{"Destroy the backup's encryption key", "销毁备份的加密密钥"},
		Text{"After the comparison, destroy the encryption key and the downloaded file. The instances keep the keys.", "比对通过后销毁加密密钥与下载的文件；实例中仍保有密钥。"},
		Text{"Two people confirm it.", "两人确认。"}, Text{"Download a new backup; the source still has everything.", "重新下载备份；源端数据完整。"}, seesNothing},
	{"cut-over", Manual, 4 * hour,
		Text{"Point the applications at the target", "将应用切换到目标实例"},
		Text{"Change endpoint, ClientKey, password and CA; for control operations, the endpoint of the destination region. One process at a time.", "更换接入点、ClientKey、口令和 CA 证书；管控操作改用目标地域接入点；逐个进程进行。"},
		Text{"Logs of the source show no call from them; records from before open.", "源端日志无其调用；旧记录可解密。"}, Text{"Change the configuration back: both places open all of it.", "改回配置：两处均可解密。"}, Text{"A rolling restart.", "滚动重启。"}},

	{"create-keys", Automatic, hour,
		Text{"Create the new keys", "创建新密钥"},
		Text{"One new key for each old one, tags and rotation included, and the key map of old to new.", "为每个旧密钥创建新密钥（含标签与轮转），并生成新旧密钥映射。"},
		Text{"Each old key has its line in the key map.", "映射中包含每个旧密钥。"}, Text{"Leave them unused. Do not delete any that something may have been written with.", "保持闲置；可能已被使用的密钥切勿删除。"}, seesNothing},
	{"phase-read-both", Manual, 4 * hour,
		Text{"Phase read-both, in every process", "所有进程进入 read-both 阶段"},
		Text{"Roll the fleet to read-both, consumers first: queues, caches, shared tables, analytics, change capture, plain-SDK jobs too.", "滚动发布至 read-both，消费方优先：队列、缓存、共享表、分析、变更捕获以及使用原生 SDK 的作业。"},
		Text{"Every process reports read-both, and Client.Check reports no unknown answer.", "每个进程均为 read-both，Client.Check 无未知响应。"}, Text{"To old-only, as long as nothing was written new.", "在尚未写入新密文前可回到 old-only。"}, Text{"A rolling restart, or nothing where the phase switches at run time.", "滚动重启；若支持运行时切换则无影响。"}},
	{"phase-write-new", Manual, 4 * hour,
		Text{"Phase write-new", "write-new 阶段"},
		Text{"Only when every consumer is at read-both and the release that one would roll back to runs read-both already.", "仅当所有消费方均在 read-both 且回滚目标版本也运行 read-both 时进行。"},
		Text{"A census counts new records on the new side.", "普查显示新记录位于新密钥侧。"}, Text{"To read-both.", "回到 read-both。"}, seesNothing},
	{"sweep", Automatic, 8 * hour,
		Text{"Phase rewrite, and the sweep", "rewrite 阶段与全量重加密"},
		Text{"Roll to rewrite and run the sweep beside the data. It re-wraps data keys and leaves payloads alone.", "进入 rewrite 并在数据所在地运行重加密；仅重新封装数据密钥，不改动数据本身。"},
		Text{"The sweep is complete, nothing quarantined.", "重加密完成，无隔离记录。"}, Text{"To write-new. What is new stays readable.", "回到 write-new；新密文仍可读取。"}, Text{"Some more calls on both keys; reads do not wait.", "两侧密钥调用略增；读取无需等待。"}},
	{"sweep-fresh", Automatic, 16 * hour,
		Text{"Phase rewrite, with fresh data keys", "rewrite 阶段，使用全新数据密钥"},
		Text{"The old key is thought compromised: open every record and seal it again under a new data key. Re-wrapping is not enough.", "旧密钥可能泄露：打开每条记录并用全新数据密钥重新加密；仅重新封装不够。"},
		Text{"No data key of the old key is left in any record.", "所有记录均不再使用旧数据密钥。"}, Text{"To write-new.", "回到 write-new。"}, Text{"More load on the database, for payloads are rewritten.", "数据库负载增加（数据本身被重写）。"}},
	{"census", Automatic, 2 * hour,
		Text{"Take the census", "进行普查"},
		Text{"Count every store by wrapping key, after every process reached write-new. Queues, caches and restored backups too.", "在所有进程进入 write-new 之后，按密钥统计所有存储，包括队列、缓存与恢复的备份。"},
		Text{"Complete; zero on the old side; zero unowned.", "完整；旧侧为零；无归属记录为零。"}, backNone, seesNothing},
	{"phase-new-only", Manual, 4 * hour,
		Text{"Phase new-only, on the evidence", "凭证据进入 new-only 阶段"},
		Text{"Give the census to SetProven.", "将普查结果提交给 SetProven。"},
		Text{"No ErrRetired for as long as your oldest job's period.", "在最长作业周期内没有 ErrRetired。"}, Text{"To rewrite, while the old key exists.", "旧密钥存在期间可回到 rewrite。"}, Text{"ErrRetired, if something was missed.", "若有遗漏会出现 ErrRetired。"}},

	{"save-public-keys", Automatic, hour,
		Text{"Save the public keys", "保存公钥"},
		Text{"Save the public key of every version of these keys, with the key and version id, and prove it by verifying a signature.", "保存每个版本的公钥及其密钥与版本 ID，并用一次验签证明。"},
		Text{"An old signature verifies with the KMS switched off.", "断开 KMS 也能验证历史签名。"}, backNone, seesNothing},
	{"create-signing-keys", Automatic, hour,
		Text{"Create the new signing keys", "创建新签名密钥"},
		Text{"One for each, in the target instance, and publish the new public keys to verifiers first.", "在目标实例中逐一创建，并先将新公钥发布给验证方。"},
		Text{"Every verifier has both public keys.", "所有验证方均持有新旧公钥。"}, Text{"Leave them unused.", "保持闲置。"}, seesNothing},
	{"switch-signing", Manual, 4 * hour,
		Text{"Sign with the new keys", "使用新密钥签名"},
		Text{"Switch signers, one at a time. Verifiers go on accepting both.", "逐个切换签名方；验证方同时接受新旧签名。"},
		Text{"Logs of the old key show no AsymmetricSign.", "旧密钥日志中没有 AsymmetricSign。"}, Text{"Sign with the old key again.", "改回旧密钥签名。"}, seesNothing},

	{"copy-secrets", Automatic, hour,
		Text{"Copy the secrets", "复制凭据"},
		Text{"For each: describe, list versions with deprecated ones, read; create with the oldest, put the others in order of time, move the stages. Nobody writes to the source meanwhile.", "逐个：查询、列出全部版本、读取；以最早版本创建，按时间写入其余版本，移动状态标签；期间不得写入源端。"},
		Text{"Description, tags, versions, stages and values are equal; creation times differ.", "描述、标签、版本、状态标签与值一致；创建时间不同。"}, Text{"Nothing changed in the source.", "源端未变。"}, seesNothing},
	{"recreate-secrets", Manual, 2 * hour,
		Text{"Delete and create RAM secrets again", "删除并重新创建 RAM 凭据"},
		Text{"With their readers informed: create in the destination, switch readers, delete in the source with the recovery window.", "通知使用方后：在目标地域创建、切换使用方、在源端删除并保留恢复窗口。"},
		Text{"Readers log in with the new one.", "使用方可用新凭据登录。"}, Text{"Restore the secret within its window.", "在窗口期内恢复凭据。"}, Text{"A change of access key.", "访问密钥变更。"}},
	{"switch-readers", Manual, 4 * hour,
		Text{"Point the secrets' readers at the copies", "将凭据使用方切换到副本"},
		Text{"Grant kms:GetSecretValue, and kms:Decrypt on the key where they use the instance's address; then change the endpoint.", "授予 kms:GetSecretValue；通过实例地址访问时还需密钥的 kms:Decrypt；然后更换接入点。"},
		Text{"The source shows no GetSecretValue.", "源端没有 GetSecretValue 调用。"}, Text{"Change it back.", "改回配置。"}, Text{"A rolling restart.", "滚动重启。"}},
	{"product", Manual, 5 * day,
		Text{"Follow the cloud product's own guide", "按云产品自身指南迁移"},
		Text{"Move the product's data by its guide. The product makes its own service key in the destination.", "按产品指南迁移其数据；产品会在目标地域创建自己的服务密钥。"},
		Text{"The product's data in the destination opens.", "目标地域的产品数据可正常访问。"}, Text{"By the product's guide.", "参见产品指南。"}, Text{"By the product's guide.", "参见产品指南。"}},
	{"rotation-on", Automatic, hour,
		Text{"Switch rotation on again", "重新开启自动轮转"},
		Text{"For these, with the noted interval; only where the target supports it.", "按记录的周期开启；仅限目标支持的密钥。"},
		Text{"DescribeKey says Enabled.", "DescribeKey 返回 Enabled。"}, Text{"Switch it off.", "关闭轮转。"}, seesNothing},

	{"watch-old", Automatic, 14 * day,
		Text{"Watch the old keys", "观察旧密钥"},
		Text{"Look for any call: ActionTrail for the shared gateway, SLS for the dedicated one. At least as long as your rarest job's period.", "查找任何调用：ActionTrail（共享网关）与 SLS（专属网关）；时长不少于最不频繁作业的周期。"},
		Text{"No call but the watcher's own.", "除观察者外无调用。"}, backNone, seesNothing},
	{"disable-old", Manual, hour,
		Text{"Disable the old keys", "禁用旧密钥"},
		Text{"Disable them one by one. A disabled key decrypts nothing: who still needs it shows now.", "逐个禁用；禁用后无法解密，仍在使用者会立即暴露。"},
		Text{"State Disabled, no errors in any application.", "状态为 Disabled，应用无错误。"}, Text{"EnableKey. At once.", "立即执行 EnableKey。"}, Text{"Errors, if something was missed.", "若有遗漏会出现错误。"}},
	{"wait-disabled", Automatic, 30 * day,
		Text{"Wait with the old keys disabled", "保持禁用并等待"},
		Text{"Longer than your longest backup is kept, or re-encrypt backups when they are restored.", "时长超过备份保留期，或在恢复备份时重新加密。"},
		Text{"No Rejected.Disabled in any log.", "日志中没有 Rejected.Disabled。"}, Text{"EnableKey.", "执行 EnableKey。"}, seesNothing},
	{"schedule-deletion", Manual, hour,
		Text{"Schedule the deletion", "计划删除密钥"},
		Text{"Lift deletion protection and schedule the deletion with the longest window that you can wait, up to 366 days. Public keys and the evidence are kept.", "关闭删除保护，以尽可能长的等待期（最长 366 天）计划删除；保留公钥与证据。"},
		Text{"State PendingDeletion, with the date.", "状态为 PendingDeletion 并显示日期。"}, Text{"CancelKeyDeletion, until that date. After it there is none.", "到期前可 CancelKeyDeletion；到期后不可恢复。"}, seesNothing},
}
