// Package offloadtest makes and checks packets for the tests of packages that cut and
// join them. It judges them by gopacket, which shares no code with package offload, and
// that is what must stay true of it. It is not for anything but tests.
package offloadtest
