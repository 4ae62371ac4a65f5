package ike

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Between two attempts at what has failed there is a rest: restMin after the first
// failure, twice as long after each further one in a row, and never more than restMax.
// It is the same for a trap that fires again, and between the tries of keyingtries.
const (
	restMin = time.Second
	restMax = time.Minute
)

// rest is what a connection, or a child of one, remembers of its failures.
type rest struct {
	// failures in a row; before is what they were when the last success came.
	failures, before int
	// until is when the next attempt may begin.
	until time.Duration
	// installed is when the last success came.
	installed time.Duration
	// crowded says that the IKE SA was in the way, with whose end the rest is over.
	crowded bool
}

// restAfter is the rest after so many failures in a row.
func restAfter(failures int) time.Duration {
	wait := restMin
	for ; failures > 1 && wait < restMax; failures-- {
		wait *= 2
	}
	return min(wait, restMax)
}

// fail counts a failure and returns the rest after it.
func (r *rest) fail(now time.Duration) time.Duration {
	r.failures++
	wait := restAfter(r.failures)
	r.until = saturatingAdd(now, wait)
	return wait
}

// succeed ends the rest.
func (r *rest) succeed(now time.Duration) {
	*r = rest{before: r.failures, installed: now}
}

// failAfterAll counts what looked like a success as a failure.
func (r *rest) failAfterAll(now time.Duration) time.Duration {
	r.failures, r.before = r.before, 0
	return r.fail(now)
}

// hasTrap reports whether a child of the connection, or the named one, is a trap.
func (c *connection) hasTrap(child string) bool {
	return slices.ContainsFunc(c.Children, func(x Child) bool {
		return x.StartAction == StartTrap && (child == "" || x.Name == child)
	})
}

// restOf is what is remembered of a child; nil for a name that is none.
func (c *connection) restOf(child string) *rest {
	i := slices.IndexFunc(c.Children, func(x Child) bool { return x.Name == child })
	if i < 0 {
		return nil
	}
	return &c.rests[i]
}

// restField says in a record how long traps rest; none where there is no trap.
func (c *connection) restField(child string, wait time.Duration) []Field {
	if !c.hasTrap(child) {
		return nil
	}
	return []Field{{"rests", wait.String()}}
}

// tellRest tells the data plane how long a child's trap rests, or with an empty name
// every trap of the connection.
func (m *Machine) tellRest(c *connection, child string, until time.Duration) {
	if c.hasTrap(child) {
		m.emit(TrapRests{Connection: c.Name, Child: child, Until: until})
	}
}

// childRefused records that a child which this end asked for did not come about, and
// lets its trap rest. The IKE SA lives on (RFC 7296 §2.21.2).
func (m *Machine) childRefused(sa *ikeSA, child, why string, more ...Field) {
	r := sa.conn.restOf(child)
	wait := r.fail(m.now)
	m.childFailed(sa, child, why, append(more, sa.conn.restField(child, wait)...)...)
	m.tellRest(sa.conn, child, r.until)
}

// childCrowded is childRefused for a child that finds an IKE SA which has its one
// CHILD_SA already, or is about to.
func (m *Machine) childCrowded(sa *ikeSA, child string) {
	m.childRefused(sa, child, "NO_ADDITIONAL_SAS", detail(secondChild))
	sa.conn.restOf(child).crowded = true
}

// makeRoom ends the rest of children for which an IKE SA that is gone had no room.
func (m *Machine) makeRoom(c *connection) {
	for i := range c.rests {
		if c.rests[i].crowded {
			c.rests[i] = rest{}
			m.tellRest(c, c.Children[i].Name, m.now)
		}
	}
}

// childLost counts an installed CHILD_SA as a failure when it goes at once, because
// this end's data plane or the peer did not want it: else its trap would go round as
// fast as the network lets it.
func (m *Machine) childLost(c *childSA) {
	conn := c.ike.conn
	r := conn.restOf(c.child)
	if r == nil || m.now-r.installed >= restMin || r.failures > 0 {
		return
	}
	for _, sa := range m.of(conn) {
		if sa.up() && sa.has(c.child) {
			return // another one carries the traffic
		}
	}
	r.failAfterAll(m.now)
	m.tellRest(conn, c.child, r.until)
}

// resting is until when a child may not be tried again because a packet wants it.
func (c *connection) resting(child int) time.Duration {
	return max(c.rest.until, c.rests[child].until)
}

// wait puts the next try of an attempt off until the connection's rest is over.
func (m *Machine) wait(c *connection, a attempt) {
	c.waiting, c.nextTry = &a, c.rest.until
	at := sort.Search(len(m.waiting), func(i int) bool { return compareWaiting(m.waiting[i], c) > 0 })
	m.waiting = slices.Insert(m.waiting, at, c)
}

// compareWaiting orders connections that wait by instant, then as configured.
func compareWaiting(a, b *connection) int {
	return cmp.Or(cmp.Compare(a.nextTry, b.nextTry), cmp.Compare(a.index, b.index))
}

// stopWaiting takes the attempt that waits; nil when none does.
func (m *Machine) stopWaiting(c *connection) *attempt {
	a := c.waiting
	if a != nil {
		c.waiting = nil
		m.waiting = slices.DeleteFunc(m.waiting, func(o *connection) bool { return o == c })
	}
	return a
}

// nextTry is when the first attempt that waits goes on, and for which connection.
func (m *Machine) nextTry() (at time.Duration, why string) {
	if len(m.waiting) == 0 {
		return never, ""
	}
	c := m.waiting[0]
	return c.nextTry, fmt.Sprintf("next try, %s", c.Name)
}

// tryAgain goes on with the first attempt that waits.
func (m *Machine) tryAgain() {
	c := m.waiting[0]
	m.initiate(c, *m.stopWaiting(c), false)
}
