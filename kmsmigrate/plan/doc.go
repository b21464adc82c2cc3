// Package plan answers three questions of whoever has to move keys and secrets of Alibaba Cloud KMS: what must move, by
// which path, and what stands in the way; and it writes the order of work down.
//
// Two calls do most of it, after an inventory was collected or read:
//
//	inventory, err := plan.Collect(ctx, sources, plan.CollectConfig{})
//	assessment, err := plan.Assess(inventory, goal)
//	work, err := plan.Build(assessment, plan.BuildConfig{})
//
// [Assess] gives every key and secret one [Path], and the [Rule]s that block or endanger it. [Build] turns that into
// ordered [Step]s, each with its check, its way back and what the application sees. [Plan.Markdown] and [Plan.HTML] write
// the runbook, in English or Chinese. [Advise] says which instance to buy, [EstimateSweep] what a sweep costs and how long it takes.
//
// Nothing here calls a service but Collect, which only reads. Nothing holds a secret's value.
//
// # Rules are data
//
// Alibaba's documents decide; this package is their tables and notes, each under a stable short name with the document and
// section it comes from. [Rules] lists them, RULES.md beside this file prints them. What no table lists is refused, never
// guessed: a wrong path can cost the data.
package plan
