package sim

import (
	"slices"
	"time"
)

const (
	// flowSilenceMin is how long a packet of a flow that never received anything
	// must be on its way before it counts as lost rather than in flight.
	flowSilenceMin = time.Second
	// flowSentTimesMax bounds the send times that a meter remembers. Only the
	// packets of the last delay before the end matter.
	flowSentTimesMax = 4096
	// flowRecentDelays is how many delays say how long a packet takes now.
	flowRecentDelays = 32
)

// flowMeter measures one flow at its receiver, in integers only. The sender's
// side calls sent in order of sequence number; arrivals come as they come.
type flowMeter struct {
	sentCount     uint64
	sentBytes     uint64
	firstSent     time.Duration
	lastSent      time.Duration
	received      uint64
	receivedBytes uint64
	duplicated    uint64
	reordered     uint64

	seen []uint64 // one bit per sequence number; grows with what was sent
	gone []uint64 // likewise, of what is known to have been dropped
	next uint64   // one more than the largest sequence number that arrived

	lastArrival time.Duration
	arrived     bool
	gap         time.Duration
	gapAt       time.Duration

	delay delayHistogram
	// times is a ring of the last flowSentTimesMax send times, to tell what is
	// lost from what is still on its way.
	times []time.Duration
	// recent is a ring of the latest delays.
	recent [flowRecentDelays]time.Duration
}

// sent notes that the next packet, of size bytes, left at now, and answers its
// sequence number.
func (m *flowMeter) sent(now time.Duration, size int) uint64 {
	sequence := m.sentCount
	if sequence == 0 {
		m.firstSent = now
		m.lastArrival = now
	}
	m.lastSent = now
	if len(m.times) < flowSentTimesMax {
		m.times = append(m.times, now)
	} else {
		m.times[sequence%flowSentTimesMax] = now
	}
	m.sentCount++
	m.sentBytes += uint64(size)
	return sequence
}

// arrivedAt notes the arrival of a packet that left at sentAt. It answers false
// for a sequence number that was never sent, which it does not count.
func (m *flowMeter) arrivedAt(now, sentAt time.Duration, sequence uint64, size int) bool {
	if sequence >= m.sentCount {
		return false
	}
	if !setBit(&m.seen, sequence) {
		m.duplicated++
		return true
	}
	m.received++
	m.receivedBytes += uint64(size)
	// RFC 4737, section 3.3: reordered when the number is smaller than the
	// next expected one. Duplicates are not counted here.
	if sequence < m.next {
		m.reordered++
	} else {
		m.next = sequence + 1
	}
	m.silence(now)
	m.lastArrival, m.arrived = now, true
	m.recent[m.delay.count%flowRecentDelays] = now - sentAt
	m.delay.add(now - sentAt)
	return true
}

// setBit sets a bit of a set that grows, and says whether it was not set.
func setBit(set *[]uint64, n uint64) bool {
	for uint64(len(*set)) <= n/64 {
		*set = append(*set, 0)
	}
	bit := uint64(1) << (n % 64)
	was := (*set)[n/64] & bit
	(*set)[n/64] |= bit
	return was == 0
}

func hasBit(set []uint64, n uint64) bool {
	return n/64 < uint64(len(set)) && set[n/64]&(1<<(n%64)) != 0
}

// has says whether a packet has arrived.
func (m *flowMeter) has(sequence uint64) bool { return hasBit(m.seen, sequence) }

// mayCome says whether a packet has neither arrived nor is known to be dropped.
func (m *flowMeter) mayCome(sequence uint64) bool {
	return !m.has(sequence) && !hasBit(m.gone, sequence)
}

// droppedPacket notes that a copy of a packet was dropped. If another one arrives, that
// counts.
func (m *flowMeter) droppedPacket(sequence uint64) { setBit(&m.gone, sequence) }

// droppedYoungest and droppedOldest note that a packet was dropped that does not show
// its number: the last, or the first, of those that may still come.
func (m *flowMeter) droppedYoungest() {
	for back := uint64(1); back <= min(m.sentCount, flowSentTimesMax); back++ {
		if m.mayCome(m.sentCount - back) {
			m.droppedPacket(m.sentCount - back)
			return
		}
	}
}

func (m *flowMeter) droppedOldest() {
	for sequence := m.sentCount - min(m.sentCount, flowSentTimesMax); sequence < m.sentCount; sequence++ {
		if m.mayCome(sequence) {
			m.droppedPacket(sequence)
			return
		}
	}
}

// silence notes that nothing arrived from the last arrival up to now.
func (m *flowMeter) silence(now time.Duration) {
	if gap := now - m.lastArrival; m.sentCount > 0 && gap > m.gap {
		m.gap, m.gapAt = gap, m.lastArrival
	}
}

// figures are the flow's figures as of now. ended says that the flow sends no
// more: then its end is the last packet sent, and a silence after that is none.
// The meter itself does not change, so that figures may be asked for while the
// flow goes on. inFlight of its packets are on their way.
func (m *flowMeter) figures(now time.Duration, ended bool, inFlight uint64) FlowResult {
	end := now
	if ended {
		end = min(now, m.lastSent)
	}
	gap, gapAt := m.gap, m.gapAt
	if tail := end - m.lastArrival; m.sentCount > 0 && tail > gap {
		gap, gapAt = tail, m.lastArrival
	}
	return FlowResult{
		Sent:          m.sentCount,
		Received:      m.received,
		SentBytes:     m.sentBytes,
		ReceivedBytes: m.receivedBytes,
		Lost:          m.sentCount - m.received - inFlight,
		InFlight:      inFlight,
		Duplicated:    m.duplicated,
		Reordered:     m.reordered,
		LongestGap:    gap,
		LongestGapAt:  gapAt,
		HasDelay:      m.delay.count > 0,
		DelayMin:      m.delay.min,
		DelayMean:     m.delay.mean(),
		DelayP50:      m.delay.percentile(50),
		DelayP99:      m.delay.percentile(99),
		DelayMax:      m.delay.max,
	}
}

// inFlight guesses how many packets are on their way, where nobody can look: those
// that have not arrived, that nobody is known to have dropped, and that left so short a
// time before now that they may still arrive: within the longest delay of late, or
// within flowSilenceMin when nothing arrived yet. What left at cutOff or later cannot
// arrive. To call these lost would make every
// flow that runs to the lab's end lose its last packet.
func (m *flowMeter) inFlight(now, cutOff time.Duration) uint64 {
	horizon := slices.Max(m.recent[:])
	if m.delay.count == 0 {
		horizon = flowSilenceMin
	}
	var count uint64
	for back := uint64(1); back <= min(m.sentCount, flowSentTimesMax); back++ {
		sequence := m.sentCount - back
		if now-m.times[sequence%flowSentTimesMax] > horizon {
			break
		}
		if m.mayCome(sequence) && m.times[sequence%flowSentTimesMax] < cutOff {
			count++
		}
	}
	return count
}
