package topology

import "io/fs"

// Option changes what Load does.
type Option func(*options)

type options struct{ despiteRefusals bool }

// PlanDespiteRefusals makes Load answer a plan although the lab asks for what this
// version does not have. The refusals are in the diagnostics all the same, as
// errors; the plan leaves out what they name and must not be run.
func PlanDespiteRefusals() Option { return func(o *options) { o.despiteRefusals = true } }

// Load reads the lab at path in fsys, with values for its variables by name, and
// answers its plan. The plan is nil when the diagnostics hold an error. Warnings may
// come with a plan.
func Load(fsys fs.FS, path string, vars map[string]string, opts ...Option) (*Plan, Diagnostics) {
	return nil, Diagnostics{}
}

// Format answers src in the canonical layout of HCL, or diagnostics when src is not
// HCL. The name stands for the file in diagnostics.
func Format(src []byte, name string) ([]byte, Diagnostics) {
	return nil, Diagnostics{}
}
