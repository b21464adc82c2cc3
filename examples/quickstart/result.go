package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// result is what happened, and the JSON object that -json prints. KMS calls are those that used a key, as the fake counted
// them.
type result struct {
	Rows               int     `json:"rows"`
	OldBefore          int64   `json:"old_before"` // records under the old key before the migration
	OldAfter           int64   `json:"old_after"`
	NewAfter           int64   `json:"new_after"`
	Lost               int64   `json:"lost"`       // gone, or not to be opened any more
	Mismatched         int64   `json:"mismatched"` // opened, and not what was written; also reads during the migration
	Conflicts          int64   `json:"conflicts"`  // rewrites that found the record changed meanwhile and left it, as they must
	Quarantined        int64   `json:"quarantined"`
	DistinctDataKeys   int     `json:"distinct_data_keys"` // that the old key still wrapped when the sweep began
	SweepKMSCallsOld   int64   `json:"sweep_kms_calls_old"`
	SweepKMSCallsNew   int64   `json:"sweep_kms_calls_new"`
	ForegroundKMSCalls int64   `json:"foreground_kms_calls"` // by the application, lazy rewrites included
	ForegroundReads    int64   `json:"foreground_reads"`
	ForegroundWrites   int64   `json:"foreground_writes"`
	Seconds            float64 `json:"seconds"`

	swept, alreadyNew, lazily int64
}

// table prints the result for people.
func (r *result) table(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	row("")
	row("Records\tbefore\tafter")
	row("  under the old key (cn-hangzhou, KMS 1.0)\t%d\t%d", r.OldBefore, r.OldAfter)
	row("  under the new key (cn-shanghai, instance)\t0\t%d", r.NewAfter)
	row("")
	row("How they moved")
	row("  rewritten after a read\t%d\t", r.lazily)
	row("  rewritten by the sweep\t%d\t", r.swept)
	row("  found new by the sweep\t%d\twritten or rewritten by the application meanwhile", r.alreadyNew)
	row("  came second\t%d\trewrites that found the record changed meanwhile, and left it", r.Conflicts)
	row("  quarantined\t%d\t", r.Quarantined)
	row("")
	row("The application meanwhile")
	row("  reads\t%d\t", r.ForegroundReads)
	row("  writes\t%d\t", r.ForegroundWrites)
	row("  KMS calls\t%d\t", r.ForegroundKMSCalls)
	row("")
	row("The sweep's KMS calls\t\tfor %d data keys that the old key still wrapped", r.DistinctDataKeys)
	row("  on the old key\t%d\tat most one for each: decrypt", r.SweepKMSCallsOld)
	row("  on the new key\t%d\tat most two for each: encrypt, and decrypt to prove it", r.SweepKMSCallsNew)
	row("")
	row("Every record opened again, with the old key disabled and cold caches, by Keyhaul and by the official SDK alone")
	row("  lost\t%d\t", r.Lost)
	row("  not what was written\t%d\t", r.Mismatched)
	row("")
	row("%.1f seconds", r.Seconds)
	_ = t.Flush()
}
