package decode

import (
	"fmt"
	"slices"
	"time"
)

// Row is one IKE message of a ladder.
type Row struct {
	// At is when the message was seen first, ArrivedAt when it was seen at the
	// last point on its way, since the capture's first frame.
	At, ArrivedAt time.Duration
	From, To      string // addresses
	// Label says what no exchange of IKEv2 is: an IKEv1 message, or octets that are
	// no message. It is empty for all others.
	Label         string
	Exchange      string
	MessageID     uint32
	Response      bool
	FromInitiator bool
	// Retransmission is 0 for the first transmission and then counts up.
	Retransmission int
	// Points is at how many points of observation it was seen.
	Points int
	Bytes  int
	// Payloads describes the chain, encrypted payloads decrypted where they could be.
	Payloads []string
	// Faults are what is wrong with it: remarks, and what is malformed.
	Faults []string
}

// Ladder is a row for every IKE message of the capture, in order, and how many
// more there were than are kept. Options.Ladder has it kept.
func (d *Decoder) Ladder() ([]Row, uint64) { return d.ladder, d.ladderMore }

// row adds the record to the ladder, or to the row of the same message at
// another point. A message that is malformed has a row like any other; s is nil
// where nothing of it can be compared.
func (d *Decoder) row(s *sightings) {
	r := &d.rec
	at := r.Time.Sub(d.start)
	if r.Duplicate {
		return // it was sent once
	}
	if r.Elsewhere && s.row >= 0 && s.row < len(d.ladder) {
		row := &d.ladder[s.row]
		row.ArrivedAt = max(row.ArrivedAt, at)
		row.Points++
		return
	}
	if len(d.ladder) == ladderRowsMax {
		d.ladderMore++
		return
	}
	payloads := make([]string, 0, len(r.Details))
	for i, detail := range r.Details {
		if sealed(r.Payloads[i]) && r.Decrypted {
			if r.Fragments == 0 {
				continue // what was in it follows
			}
		}
		payloads = append(payloads, detail)
	}
	row := Row{
		At: at, ArrivedAt: at, From: r.Src.String(), To: r.Dst.String(),
		Exchange: exchangeName(r.Header), MessageID: r.Header.MessageID,
		Response: r.Header.IsResponse(), FromInitiator: r.Header.FromInitiator(),
		Retransmission: r.Retransmission, Points: 1, Bytes: r.Bytes, Payloads: slices.Clip(payloads),
	}
	switch {
	case !r.HasHeader:
		row.Label = "IKE without a whole header"
	case r.Header.MajorVersion == 1:
		row.Label = "IKEv1 " + row.Exchange
		row.Payloads = []string{string(appendCookies(nil, r.Header))}
	case r.Header.MajorVersion != 2:
		row.Label = fmt.Sprintf("IKE of version %d.%d", r.Header.MajorVersion, r.Header.MinorVersion)
	}
	for _, remark := range r.Remarks {
		row.Faults = append(row.Faults, "REMARK "+remark)
	}
	if r.Err != nil {
		row.Faults = append(row.Faults, "MALFORMED "+r.Err.Error())
	}
	if s != nil {
		s.row = len(d.ladder)
	}
	d.ladder = append(d.ladder, row)
}
