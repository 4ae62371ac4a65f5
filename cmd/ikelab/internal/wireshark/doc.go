// Package wireshark holds tests, and no code: what the program writes and reads is compared with what tshark makes of
// the same captures. They are apart from the program's other tests because each question to tshark costs half a second
// of processor time.
package wireshark
