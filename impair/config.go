package impair

import "fmt"

// Limits that hold for every link.
const (
	// queueLimitPackets is the droptail limit where a configuration states none: the length that Linux
	// gives an Ethernet interface's queue.
	queueLimitPackets = 1000
	// QueueLimitPacketsMax bounds what a configuration may ask for.
	QueueLimitPacketsMax = 1 << 20
	// RateBitsPerSecondMin bounds a rate below, so that a full queue's departures stay within an instant's
	// range.
	RateBitsPerSecondMin = 1000
	// RateBitsPerSecondMax bounds a rate at a terabit per second.
	RateBitsPerSecondMax = 1_000_000_000_000
)

// LinkConfig says how a link treats packets, the same in both directions; each direction has a queue and a
// serialiser of its own. The zero value delivers everything at once.
type LinkConfig struct {
	// Name keys the link's draws, "<node>.<interface>" for a link of an interface. Renaming a link changes
	// the fates on it and on no other.
	Name string
	// Delay is the propagation delay one way, at least 0.
	Delay Dur
	// Jitter varies the delay from packet to packet.
	Jitter Jitter
	// Loss decides which packets never arrive. A lost packet has occupied queue and rate like any other.
	Loss Loss
	// Duplicate is the probability, 0 to 1, that a packet arrives twice. The second arrival draws its own
	// jitter and takes no rate.
	Duplicate float64
	// Reorder is the probability, 0 to 1, that a packet overtakes: it skips Delay and Jitter, as with netem's
	// reorder. Without a delay there is nothing to overtake.
	Reorder float64
	// Corrupt is the probability, 0 to 1, that one bit of the packet, IP header included, is flipped. A
	// duplicate is a copy of the corrupted packet.
	Corrupt float64
	// RateBitsPerSecond is the speed at which IP packets are serialised, 0 for no limit. No link-layer
	// overhead is added.
	RateBitsPerSecond uint64
	// Queue holds packets that wait for the rate. Without a rate nothing waits.
	Queue Queue
	// MTUBytes is the longest IP packet the link carries, 0 for no limit. A longer one is dropped: telling
	// the sender is the affair of the node in front of the link.
	MTUBytes int
}

// Distribution names a shape of Jitter.
type Distribution string

// The distributions of a delay around its mean. They mean what netem's mean.
const (
	// Uniform spreads evenly over Delay ± Sigma. It is the default.
	Uniform Distribution = "uniform"
	// Normal has the standard deviation Sigma, cut at about 3.7 Sigma.
	Normal Distribution = "normal"
	// Pareto has a long tail to late arrivals (shape 3), mean Delay and standard deviation Sigma; its
	// earliest arrival is about 0.6 Sigma before the mean, its latest about 24 Sigma after it.
	Pareto Distribution = "pareto"
)

// Jitter varies a delay. A delay that would become negative is 0.
//
// As with netem, packets that draw different delays may overtake each other as soon as Sigma is larger than
// the gap between them. KeepOrder forbids it.
type Jitter struct {
	// Distribution is Uniform where empty.
	Distribution Distribution
	// Sigma is the half width (Uniform) or the standard deviation (Normal, Pareto), at least 0.
	Sigma Dur
	// KeepOrder holds every packet of a direction back until the one before it has arrived. A packet's delay
	// then depends on the packets in front of it, as in a queue. What Reorder picks still overtakes.
	KeepOrder bool
}

// LossModel names how losses are decided.
type LossModel string

// The loss models.
const (
	// LossNone loses nothing. It is the default.
	LossNone LossModel = "none"
	// LossRandom loses each packet independently with probability P.
	LossRandom LossModel = "random"
	// LossGilbertElliott runs a two-state Markov chain along the ordinals of each flow.
	LossGilbertElliott LossModel = "gilbert-elliott"
)

// Loss decides which packets are lost. Its probabilities are 0 to 1.
type Loss struct {
	// Model is LossNone where empty.
	Model LossModel
	// P is the probability of losing a packet (LossRandom), or of the step from the good state to the bad
	// one (LossGilbertElliott).
	P float64
	// R is the probability of the step from the bad state back to the good one. The mean burst is 1/R
	// packets, the mean share of the bad state P/(P+R). LossGilbertElliott needs it to be 2⁻⁶⁴ at least.
	R float64
	// DeliverBad is the probability that a packet survives the bad state: h of Elliott's model, the
	// complement of netem's 1-h. 0 makes it Gilbert's model, which loses all of a burst.
	DeliverBad float64
	// LossGood is the probability of losing a packet in the good state: netem's 1-k.
	LossGood float64
}

// Queue holds the packets that wait for a link's rate. A packet that finds any limit reached is dropped.
type Queue struct {
	// Discipline is "droptail", also where empty.
	Discipline string
	// LimitPackets is the number of packets that may wait or be in transmission, 0 for 1000.
	LimitPackets int
	// LimitBytes is the sum of their lengths in bytes, 0 for no limit of this kind.
	LimitBytes int
	// LimitDelay is the longest that a packet may have to wait before its transmission begins, 0 for no limit
	// of this kind.
	LimitDelay Dur
}

// Droptail is the only queue discipline of this version: first in, first out, the newcomer is dropped.
const Droptail = "droptail"

// Validate reports the first value that a link cannot honour, naming the field and its range.
func (c LinkConfig) Validate() error {
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"loss.p", c.Loss.P},
		{"loss.r", c.Loss.R},
		{"loss.deliver_bad", c.Loss.DeliverBad},
		{"loss.loss_good", c.Loss.LossGood},
		{"duplicate", c.Duplicate},
		{"reorder", c.Reorder},
		{"corrupt", c.Corrupt},
	} {
		// Written so that NaN fails too.
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("link %q: %s is %v; a probability lies between 0 and 1", c.Name, p.name, p.value)
		}
	}
	for _, d := range []struct {
		name  string
		value Dur
	}{
		{"delay", c.Delay},
		{"jitter.sigma", c.Jitter.Sigma},
		{"queue.limit", c.Queue.LimitDelay},
	} {
		if d.value < 0 || d.value > DelayMax {
			return fmt.Errorf("link %q: %s is %v; it lies between 0 and %v", c.Name, d.name, d.value, DelayMax)
		}
	}
	switch c.Jitter.Distribution {
	case "", Uniform, Normal, Pareto:
	default:
		return fmt.Errorf("link %q: jitter.distribution is %q; it is one of %q, %q, %q",
			c.Name, c.Jitter.Distribution, Uniform, Normal, Pareto)
	}
	switch c.Loss.Model {
	case "", LossNone, LossRandom:
	case LossGilbertElliott:
		if !newProbability(c.Loss.R).possible() {
			return fmt.Errorf("link %q: loss.r is %v; below 2⁻⁶⁴ a gilbert-elliott chain never leaves the bad state and loses everything", c.Name, c.Loss.R)
		}
	default:
		return fmt.Errorf("link %q: loss.model is %q; it is one of %q, %q, %q",
			c.Name, c.Loss.Model, LossNone, LossRandom, LossGilbertElliott)
	}
	switch c.Queue.Discipline {
	case "", Droptail:
	default:
		return fmt.Errorf("link %q: queue.discipline is %q; this version has %q", c.Name, c.Queue.Discipline, Droptail)
	}
	if r := c.RateBitsPerSecond; r != 0 && (r < RateBitsPerSecondMin || r > RateBitsPerSecondMax) {
		return fmt.Errorf("link %q: rate is %d bit/s; it is 0 for no limit or lies between %d and %d",
			c.Name, r, uint64(RateBitsPerSecondMin), uint64(RateBitsPerSecondMax))
	}
	if n := c.Queue.LimitPackets; n < 0 || n > QueueLimitPacketsMax {
		return fmt.Errorf("link %q: queue.limit is %d packets; it lies between 0 and %d", c.Name, n, QueueLimitPacketsMax)
	}
	if c.Queue.LimitBytes < 0 {
		return fmt.Errorf("link %q: queue.limit is %d bytes; it is not negative", c.Name, c.Queue.LimitBytes)
	}
	if c.MTUBytes < 0 {
		return fmt.Errorf("link %q: mtu is %d bytes; it is not negative", c.Name, c.MTUBytes)
	}
	return nil
}
