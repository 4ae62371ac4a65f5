package impair

// serialiser is one direction's transmitter with the queue in front of it. Both are first in, first out, so a
// packet's departure is known when it arrives, and the queue is the list of the departures to come.
type serialiser struct {
	rate  uint64 // bits per second, 0: no queue
	limit Queue

	busyUntil Dur    // the transmitter is free then, but for
	busyRest  uint64 // this many parts of a nanosecond, of which rate make a whole

	waiting      []departure // a ring
	head, length int
	bytes        int // of the packets in waiting
}

type departure struct {
	at    Dur
	bytes int
}

func newSerialiser(rate uint64, limit Queue) serialiser {
	if limit.LimitPackets == 0 {
		limit.LimitPackets = queueLimitPackets
	}
	return serialiser{rate: rate, limit: limit}
}

// send accepts a packet of some bytes at now and returns when its last bit has left, or why it was dropped.
func (s *serialiser) send(now Dur, bytes int) (at Dur, drop string) {
	if s.rate == 0 {
		return now, ""
	}
	for s.length > 0 && s.waiting[s.head].at <= now {
		s.bytes -= s.waiting[s.head].bytes
		s.head = (s.head + 1) % len(s.waiting)
		s.length--
	}
	switch {
	case s.length >= s.limit.LimitPackets:
		return 0, DropQueuePackets
	case s.limit.LimitBytes > 0 && s.bytes+bytes > s.limit.LimitBytes:
		return 0, DropQueueBytes
	case s.limit.LimitDelay > 0 && s.busyUntil-now > s.limit.LimitDelay:
		return 0, DropQueueDelay
	}
	if s.busyUntil < now {
		s.busyUntil, s.busyRest = now, 0
	}
	// bits · 10⁹ / rate nanoseconds. The rest is carried over, or a fast link with small packets would be
	// slower than its rate. A gigabyte still fits.
	parts := uint64(bytes)*8*1e9 + s.busyRest
	s.busyUntil += Dur(parts / s.rate)
	s.busyRest = parts % s.rate
	at = s.busyUntil
	if s.busyRest > 0 {
		at++ // the last bit leaves within the next nanosecond
	}
	s.push(departure{at: at, bytes: bytes})
	return at, ""
}

// push appends a departure. The ring grows by doubling up to the limit in packets.
func (s *serialiser) push(d departure) {
	if s.length == len(s.waiting) {
		grown := make([]departure, min(max(16, 2*len(s.waiting)), s.limit.LimitPackets))
		for i := range s.length {
			grown[i] = s.waiting[(s.head+i)%len(s.waiting)]
		}
		s.waiting, s.head = grown, 0
	}
	s.waiting[(s.head+s.length)%len(s.waiting)] = d
	s.length++
	s.bytes += d.bytes
}
