package topology

import (
	"strconv"

	"github.com/ikelab/ikelab/impair"
)

// Feature is something that a plan may ask of an engine and that not every engine has.
type Feature string

// The features.
const (
	FeatureProcess   Feature = "process blocks"
	FeatureLife      Feature = "kill, start and restart"
	FeatureAddresses Feature = "changes of addresses"
	FeatureLinkState Feature = "link_down and link_up"
	FeatureCommand   Feature = "initiate, terminate and liveness"
	FeatureDelay     Feature = "delay"
	FeatureJitter    Feature = "jitter"
	FeatureLoss      Feature = "loss"
	FeatureDuplicate Feature = "duplicate"
	FeatureReorder   Feature = "reorder"
	FeatureCorrupt   Feature = "corrupt"
	FeatureRate      Feature = "rate"
	FeatureQueue     Feature = "queue"
)

// Use is one place at which a plan asks for a feature.
type Use struct {
	Feature Feature
	// What names what asks for it, as the file does: step "cut", process "ping".
	What string
	// Pos is where it stands, as far as known.
	Pos Position
}

// String is the use with its place in front.
func (u Use) String() string {
	s := u.What + " (" + string(u.Feature) + ")"
	if u.Pos.Line > 0 {
		s = u.Pos.File + ":" + strconv.Itoa(u.Pos.Line) + ": " + s
	}
	return s
}

// Uses lists what the plan asks of an engine beyond nodes, networks and flows, in the
// order links, steps, processes, so that an engine can refuse by name what it does not
// carry before it begins.
func (p *Plan) Uses() []Use {
	var out []Use
	seen := map[Use]bool{}
	add := func(u Use) {
		if !seen[u] {
			seen[u] = true
			out = append(out, u)
		}
	}
	byName := map[string]*Link{}
	for i := range p.Links {
		byName[p.Links[i].Name] = &p.Links[i]
	}
	for n := range p.Nodes {
		for _, i := range p.Nodes[n].Interfaces {
			what, pos := "the link of "+p.Nodes[n].Name+"."+i.Name, i.Pos
			if l := byName[i.LinkRef]; l != nil {
				what, pos = "link "+strconv.Quote(l.Name), l.Pos
			}
			for _, f := range linkFeatures(i.Link) {
				add(Use{f, what, pos})
			}
		}
	}
	for _, s := range p.Steps {
		if f := s.Action.feature(); f != "" {
			add(Use{f, "step " + strconv.Quote(s.Name), s.Pos})
		}
	}
	for _, one := range p.Processes {
		add(Use{FeatureProcess, "process " + strconv.Quote(one.Name), one.Pos})
	}
	return out
}

// feature is what an action needs.
func (a Action) feature() Feature {
	switch a.Kind {
	case ActionKill, ActionStart, ActionRestart:
		return FeatureLife
	case ActionAddAddress, ActionRemoveAddress, ActionSetAddress:
		return FeatureAddresses
	case ActionLinkDown, ActionLinkUp:
		return FeatureLinkState
	case ActionInitiate, ActionTerminate, ActionLiveness:
		return FeatureCommand
	}
	return ""
}

// linkFeatures are those of a link's model; none for a perfect link.
func linkFeatures(c impair.LinkConfig) []Feature {
	var out []Feature
	for _, f := range []struct {
		feature Feature
		used    bool
	}{
		{FeatureDelay, c.Delay > 0},
		{FeatureJitter, c.Jitter.Sigma > 0},
		{FeatureLoss, c.Loss.Model != "" && c.Loss.Model != impair.LossNone && (c.Loss.P > 0 || c.Loss.LossGood > 0)},
		{FeatureDuplicate, c.Duplicate > 0},
		{FeatureReorder, c.Reorder > 0},
		{FeatureCorrupt, c.Corrupt > 0},
		{FeatureRate, c.RateBitsPerSecond > 0},
		{FeatureQueue, c.Queue != impair.Queue{}},
	} {
		if f.used {
			out = append(out, f.feature)
		}
	}
	return out
}
