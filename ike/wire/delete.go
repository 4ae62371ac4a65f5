package wire

import (
	"encoding/binary"
	"fmt"
)

// Delete is a Delete payload (RFC 7296 §3.11). For ProtocolIKE it deletes the IKE
// SA that carries it and names no SPI; for ESP and AH each SPI is the one its
// sender expects in packets it receives.
type Delete struct {
	Protocol ProtocolID
	SPISize  uint8 // octets: 0 for IKE, 4 for ESP and AH
	SPIs     [][]byte
}

// Type is PayloadDelete.
func (*Delete) Type() PayloadType { return PayloadDelete }

// checkDelete says what is wrong with the numbers of a Delete payload, "" for nothing.
func checkDelete(protocol ProtocolID, size uint8, count int) (field, reason string) {
	switch {
	case protocol == ProtocolIKE && (size != 0 || count != 0):
		return "SPI Size", "an IKE SA is deleted without naming an SPI"
	case (protocol == ProtocolAH || protocol == ProtocolESP) && size != 4:
		return "SPI Size", "ESP and AH have 4 octets"
	case size == 0 && count != 0:
		return "Num of SPIs", "SPIs of no octets cannot be counted"
	case count > deleteSPIsMax:
		return "Num of SPIs", fmt.Sprintf("at most %d are accepted", deleteSPIsMax)
	}
	return "", ""
}

func parseDelete(d *decoder) (Payload, error) {
	if err := d.need(4, "Protocol ID"); err != nil {
		return nil, err
	}
	start := d.at
	p := &Delete{Protocol: ProtocolID(d.uint8()), SPISize: d.uint8()}
	count := int(d.uint16())
	if field, reason := checkDelete(p.Protocol, p.SPISize, count); reason != "" {
		return nil, d.errorf(start, field, "%d SPIs of %d octets: %s", count, p.SPISize, reason)
	}
	if want := count * int(p.SPISize); d.left() != want {
		return nil, d.errorf(start+2, "Num of SPIs", "%d SPIs of %d octets are %d octets, the payload has %d", count, p.SPISize, want, d.left())
	}
	for range count {
		p.SPIs = append(p.SPIs, d.take(int(p.SPISize)))
	}
	return p, nil
}

func (p *Delete) appendBody(b []byte) ([]byte, error) {
	if field, reason := checkDelete(p.Protocol, p.SPISize, len(p.SPIs)); reason != "" {
		return nil, encodeErrorf(PayloadDelete, field, "%d SPIs of %d octets: %s", len(p.SPIs), p.SPISize, reason)
	}
	b = append(b, byte(p.Protocol), p.SPISize)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		if len(spi) != int(p.SPISize) {
			return nil, encodeErrorf(PayloadDelete, "SPI", "has %d octets, SPI Size says %d", len(spi), p.SPISize)
		}
		b = append(b, spi...)
	}
	return b, nil
}
