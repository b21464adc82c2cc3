package plan

import (
	"fmt"
	"io"
	"strings"
)

// RunbookConfig says how a runbook is written. The zero value is useful.
type RunbookConfig struct {
	Language Language
	// Assessment, when set, adds what moves by which path and what is blocked.
	Assessment *Assessment
	// State, when set, adds the progress.
	State *State
	// Estimates, from [EstimateSweep], add in numbers what the sweep costs and adds to the audit logs.
	Estimates []SweepEstimate
}

// runbook is what both forms of a runbook show.
type runbook struct {
	Plan
	config   RunbookConfig
	standing map[string]Standing // nil without a state
}

func (p Plan) runbook(config RunbookConfig) (runbook, error) {
	r := runbook{Plan: p, config: config}
	if err := p.Validate(); err != nil {
		return r, err
	}
	if config.State != nil {
		var err error
		if r.standing, err = p.Standings(*config.State); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r runbook) t(t Text) string { return t.In(r.config.Language) }

// w returns one of the runbook's own words.
func (r runbook) w(name string) string { return r.t(headings[name]) }

// headings are the runbook's own words.
var headings = map[string]Text{
	"title":       {"Runbook: moving keys and secrets", "运行手册：密钥与凭据迁移"},
	"starts":      {"Starts", "开始"},
	"ends":        {"Moved by", "迁移完成"},
	"retires":     {"Old keys scheduled for deletion by", "旧密钥计划删除"},
	"deadline":    {"Deadline", "截止日期"},
	"progress":    {"Progress", "进度"},
	"summary":     {"What moves, by which path", "迁移对象与路径"},
	"path":        {"Path", "路径"},
	"keys":        {"Keys", "密钥"},
	"secrets":     {"Secrets", "凭据"},
	"blocked":     {"Blocked", "被阻塞"},
	"blockers":    {"Blockers of the whole", "整体阻塞项"},
	"places":      {"Regions", "地域"},
	"picture":     {"What waits for what", "依赖关系"},
	"steps":       {"Steps", "步骤"},
	"do":          {"Do", "操作"},
	"check":       {"Done when", "完成标志"},
	"back":        {"Way back", "回退方式"},
	"sees":        {"The application sees", "应用感知"},
	"after":       {"After", "前置步骤"},
	"resources":   {"Resources", "资源"},
	"more":        {"and %d more, in the plan's JSON", "另有 %d 项，见计划 JSON"},
	"settle":      {"Settle first", "须先解决"},
	"source":      {"Source", "来源"},
	"phase":       {"Phase", "阶段"},
	"manual":      {"manual", "手动"},
	"automatic":   {"automatic", "自动"},
	"done":        {"done", "已完成"},
	"ready":       {"ready", "可执行"},
	"waiting":     {"waiting", "等待中"},
	"oncall":      {"For the person on call", "值班手册"},
	"command":     {"Run", "执行"},
	"does":        {"What it does", "作用"},
	"recover":     {"Time to recover", "恢复时间"},
	"audit":       {"What the sweep adds to the audit logs", "重加密对审计日志的影响"},
	"audit-text":  {"For each distinct wrapped data key in a batch: one Decrypt of the old key, one Encrypt and one Decrypt of the new one, by the sweep's role; with ReEncrypt, one ReEncrypt and one Decrypt. Calls through a shared gateway are in ActionTrail, calls to an instance's own address only in SLS. Raise alarms on everything that is not the sweep's role, and keep retention in mind: logs grow by as much.", "每批中每个不同的已封装数据密钥会产生：旧密钥一次 Decrypt，新密钥一次 Encrypt 和一次 Decrypt（以重加密角色的身份）；使用 ReEncrypt 时为一次 ReEncrypt 和一次 Decrypt。共享网关的调用记录在 ActionTrail，专属网关的调用仅记录在 SLS。请对非重加密角色的调用告警，并考虑日志增长对留存的影响。"},
	"mode":        {"Mode", "方式"},
	"calls":       {"KMS calls, old + new", "KMS 调用（旧 + 新）"},
	"hours":       {"Hours", "小时"},
	"events-old":  {"Events a day, old side", "旧侧每日事件"},
	"events-new":  {"Events a day, new side", "新侧每日事件"},
	"unmatched":   {"Said of nothing in the inventory", "清单中不存在的对象"},
	"roles":       {"Roles", "角色"},
	"roles-text":  {"Four RAM roles, kept apart: inventory reads metadata; copy creates keys and secrets; sweep encrypts and decrypts; retirement disables and schedules deletion. No person and no process holds sweep and retirement together.", "四个相互分离的 RAM 角色：清单（读取元数据）、复制（创建密钥与凭据）、重加密（加密与解密）、停用（禁用与计划删除）。任何人或进程不得同时持有重加密与停用。"},
	"no-blockers": {"None.", "无。"},
}

// Markdown writes the runbook as Markdown.
func (p Plan) Markdown(w io.Writer, config RunbookConfig) error {
	r, err := p.runbook(config)
	if err != nil {
		return err
	}
	var b strings.Builder
	r.head(&b)
	r.summary(&b)
	fmt.Fprintf(&b, "\n## %s\n", r.w("steps"))
	for i, s := range p.Steps {
		r.step(&b, i+1, s)
	}
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\n## %s\n\n%s\n", r.w("roles"), r.w("roles-text"), r.w("audit"), r.w("audit-text"))
	r.audit(&b)
	fmt.Fprintf(&b, "\n## %s\n", r.w("oncall"))
	for _, in := range incidents {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n- %s: `%s`\n- %s: %s\n- %s: %s\n", in.Name, r.t(in.Seen), r.w("command"), in.Command, r.w("does"), r.t(in.Does), r.w("recover"), r.t(in.Recover))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("plan: write runbook: %w", err)
	}
	return nil
}

// auditRow is a mode of the sweep in the table of audit events.
type auditRow struct {
	Mode            SweepMode
	Why             string // it is not possible
	Calls, Old, New string
	Hours           string
}

func (r runbook) auditRows() []auditRow {
	out := make([]auditRow, 0, len(r.config.Estimates))
	for _, e := range r.config.Estimates {
		why := ""
		if !e.Possible {
			why = r.t(notPossible[e.Mode])
		}
		out = append(out, auditRow{e.Mode, why, grouped(e.Old) + " + " + grouped(e.New), grouped(e.OldEvents) + " (" + e.OldLog + ")", grouped(e.NewEvents) + " (" + e.NewLog + ")", fmt.Sprintf("%.1f", e.Takes.Hours())})
	}
	return out
}

// grouped writes a number with commas between its thousands.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func (r runbook) audit(b *strings.Builder) {
	rows := r.auditRows()
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s | %s | %s | %s | %s |\n|---|--:|--:|--:|--:|\n", r.w("mode"), r.w("calls"), r.w("hours"), r.w("events-old"), r.w("events-new"))
	for _, row := range rows {
		if row.Why != "" {
			fmt.Fprintf(b, "| `%s` | %s | | | |\n", row.Mode, md(row.Why))
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", row.Mode, row.Calls, row.Hours, row.Old, row.New)
	}
}

func (r runbook) head(b *strings.Builder) {
	fmt.Fprintf(b, "# %s\n\n", r.w("title"))
	for _, d := range r.dates() {
		fmt.Fprintf(b, "- %s: %s\n", d[0], d[1])
	}
	if r.standing != nil {
		done, all := r.progress()
		fmt.Fprintf(b, "- %s: %d / %d\n", r.w("progress"), done, all)
	}
	if len(r.Blockers) > 0 {
		fmt.Fprintf(b, "\n## %s\n\n", r.w("blockers"))
		r.findings(b, r.Blockers)
	}
}

func (r runbook) dates() [][2]string {
	var out [][2]string
	if !r.Starts.IsZero() {
		out = append(out, [2]string{r.w("starts"), date(r.Starts)}, [2]string{r.w("ends"), date(r.Ends)}, [2]string{r.w("retires"), date(r.Retires)})
	}
	if !r.Deadline.IsZero() {
		out = append(out, [2]string{r.w("deadline"), date(r.Deadline)})
	}
	return out
}

func (r runbook) progress() (done, all int) {
	for _, s := range r.standing {
		if s == Done {
			done++
		}
	}
	return done, len(r.Steps)
}

// pathRow is a line of the summary.
type pathRow struct {
	Path                   Path
	Text                   string
	Keys, Secrets, Blocked int
}

func (r runbook) paths() []pathRow {
	if r.config.Assessment == nil {
		return nil
	}
	keys, secrets, blocked := r.config.Assessment.ByPath("key"), r.config.Assessment.ByPath("secret"), map[Path]int{}
	for _, v := range r.config.Assessment.Resources {
		if len(v.Blockers) > 0 {
			blocked[v.Path]++
		}
	}
	var out []pathRow
	for _, p := range Paths() {
		if keys[p]+secrets[p] > 0 {
			out = append(out, pathRow{p, p.Describe(r.config.Language), keys[p], secrets[p], blocked[p]})
		}
	}
	return out
}

func (r runbook) summary(b *strings.Builder) {
	rows := r.paths()
	if rows == nil {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| %s | | %s | %s | %s |\n|---|---|--:|--:|--:|\n", r.w("summary"), r.w("path"), r.w("keys"), r.w("secrets"), r.w("blocked"))
	for _, row := range rows {
		fmt.Fprintf(b, "| `%s` | %s | %d | %d | %d |\n", row.Path, row.Text, row.Keys, row.Secrets, row.Blocked)
	}
	fmt.Fprintf(b, "\n## %s\n", r.w("places"))
	if w := r.config.Assessment.Warnings; len(w) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n", r.w("unmatched"))
		r.findings(b, w)
	}
	for _, p := range r.config.Assessment.Places {
		fmt.Fprintf(b, "\n### %s\n\n", md(p.Account+" "+p.Region+" → "+p.To))
		r.findings(b, p.Blockers)
		r.findings(b, p.Warnings)
		r.findings(b, p.Notes)
	}
}

const shownResources = 60 // of a step; more would bury the steps

func (r runbook) step(b *strings.Builder, n int, s Step) {
	kind := s.Of()
	fmt.Fprintf(b, "\n### %d. %s\n\n`%s` · %s", n, r.t(kind.Title), s.ID, r.w(string(s.Mode)))
	if s.Phase != "" {
		fmt.Fprintf(b, " · %s `%s`", r.w("phase"), s.Phase)
	}
	if st, ok := r.standing[s.ID]; ok {
		fmt.Fprintf(b, " · **%s**", r.w(string(st)))
	}
	if !s.Starts.IsZero() {
		fmt.Fprintf(b, " · %s – %s", date(s.Starts), date(s.Ends))
	}
	fmt.Fprintf(b, "\n\n- **%s**: %s\n- **%s**: %s\n- **%s**: %s\n- **%s**: %s\n", r.w("do"), r.t(kind.Do), r.w("check"), r.t(kind.Check), r.w("back"), r.t(kind.Back), r.w("sees"), r.t(kind.Sees))
	if len(s.After) > 0 {
		fmt.Fprintf(b, "- **%s**: `%s`\n", r.w("after"), strings.Join(s.After, "`, `"))
	}
	for _, a := range s.About {
		fmt.Fprintf(b, "- %s\n", md(a))
	}
	if n := len(s.Resources); n > 0 {
		shown := s.Resources[:min(n, shownResources)]
		fmt.Fprintf(b, "- **%s** (%d): %s", r.w("resources"), n, md(strings.Join(shown, ", ")))
		if n > len(shown) {
			fmt.Fprintf(b, " … "+r.w("more"), n-len(shown))
		}
		b.WriteString("\n")
	}
	if len(s.Blockers) > 0 {
		fmt.Fprintf(b, "\n**%s**\n\n", r.w("settle"))
		r.findings(b, s.Blockers)
	}
}

func (r runbook) findings(b *strings.Builder, list []Finding) {
	for i, f := range list {
		if i == shownResources {
			fmt.Fprintf(b, "- "+r.w("more")+"\n", len(list)-i)
			return
		}
		rule, _ := FindRule(f.Rule)
		fmt.Fprintf(b, "- `%s`", f.Rule)
		if f.About != "" {
			fmt.Fprintf(b, " (%s)", md(f.About))
		}
		fmt.Fprintf(b, ": %s %s _%s: %s_\n", r.t(rule.Says), r.t(rule.Do), r.w("source"), rule.Source)
	}
}

// md keeps what people and the service wrote from being read as Markdown or HTML.
func md(text string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;", "|", "\\|", "[", "\\[", "\n", " ", "\r", " ").Replace(text)
}
