package esp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/ikelab/ikelab/ike/suite"
)

// vector is a published ESP packet. Where its source has no ICV, because it shows
// encryption alone, withICV adds HMAC-SHA-256-128 by the standard library.
type vector struct {
	name       string
	config     SAConfig
	packet     string // SPI to ICV
	withoutICV bool
	top        uint64 // where the receiver's window is
	inner      string
	nextHeader uint8
	seq        uint64
}

// ascending08 is the payload of the pings in RFC 3602 and RFC 7634: 08 to 37.
const ascending08 = "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637"

func vectors(t *testing.T) []vector {
	cbc := func(spi uint32, key string) SAConfig {
		return SAConfig{SPI: spi, Encr: encr(suite.EncrAESCBC, 128), EncrKey: unhex(t, key), IVKey: make([]byte, 16)}
	}
	gcm := func(spi uint32, keyBits uint16, keyAndSalt string) SAConfig {
		return SAConfig{SPI: spi, Encr: encr(suite.EncrAESGCM16, keyBits), EncrKey: unhex(t, keyAndSalt), ReplayWindowPackets: 64}
	}
	esn := gcm(0x4321, 128, "4c80cdefbb5d10da906ac73c3613a634 2e443b68")
	esn.ESN = true
	return []vector{
		{
			name:   "RFC 3602 §4 case 5, transport mode",
			config: cbc(0x4321, "90d382b410eeba7ad938c46cec1a82bf"),
			packet: `00004321 00000001 e96e8c08ab465763fd098d45dd3ff893
				f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856
				a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a
				a269add047ad2d5913ac19b7cfbad4a6`,
			withoutICV: true,
			inner:      "08000ebda70a00008e9c083db95b0700" + ascending08,
			nextHeader: 1, seq: 1,
		},
		{
			name:   "RFC 3602 §4 case 7, tunnel mode",
			config: cbc(0x8765, "0123456789abcdef0123456789abcdef"),
			packet: `00008765 00000002 f4e765244f6407adf13dc1380f673f37
				773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8
				e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5
				c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d`,
			withoutICV: true,
			inner: `45000054 09040000 4001f988 c0a87b03 c0a87bc8
				08009f76a90a0100b49c083d02a20400` + ascending08,
			nextHeader: NextHeaderIPv4, seq: 2,
		},
		{
			name:   "RFC 7634 appendix A",
			config: SAConfig{SPI: 0x01020304, Encr: encr(suite.EncrChaCha20Poly1305, 0), EncrKey: append(ascending(0x80, 32), 0xa0, 0xa1, 0xa2, 0xa3)},
			packet: `01020304 00000005 1011121314151617
				24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6
				14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3
				cbec163fac469b502773f6fb94e664da9165b82829f641e0
				76aaa8266b7fb0f7b11b369907e1ad43`,
			inner: `45000054a6f200004001e778c6336405c0000205
				08005b7a3a080000553bec1000073627` + ascending08,
			nextHeader: NextHeaderIPv4, seq: 5,
		},
		{
			// The upper half of the number is authenticated and not sent.
			name:   "draft-mcgrew-gcm-test-01 case 1, AES-128, ESN",
			config: esn, top: 0x87654320_fffffff0,
			packet: `00004321 00000000 4956ed7e3b244cfe
				fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34
				cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce
				61bc17d768fd9732 459018148f6cbe722fd04796562dfdb4`,
			inner: `45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000
				00000000045f736970045f756470037369700963796265726369747902646b00
				00210001`,
			nextHeader: 1, seq: 0x87654321_00000000,
		},
		{
			name:   "draft-mcgrew-gcm-test-01 case 2, AES-128",
			config: gcm(0xa5f8, 128, "feffe9928665731c6d6a8f9467308308 cafebabe"),
			packet: `0000a5f8 0000000a facedbaddecaf888
				deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c
				3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1
				83b70d3aa8bc6ee4c309e9d85a41ad4a`,
			inner: `4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d00100
				0001000000000000037369700963796265726369747902646b0000010001`,
			nextHeader: 1, seq: 10,
		},
		{
			name:   "draft-mcgrew-gcm-test-01, AES-192",
			config: gcm(0xa5f8, 192, "feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe"),
			packet: `0000a5f8 0000000a facedbaddecaf888
				a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0
				315b27452144cc77 95457b9652037f5318027b5b4cd7a636`,
			inner:      "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d07568",
			nextHeader: 1, seq: 10,
		},
		{
			name:   "draft-mcgrew-gcm-test-01, AES-256",
			config: gcm(0x4a2cbfe3, 256, "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344"),
			packet: `4a2cbfe3 00000002 0102030405060708
				ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763
				748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c49
				15956c96`,
			inner: `4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000
				7002400020bf0000020405b401010402`,
			nextHeader: 1, seq: 2,
		},
	}
}

// addICV gives a packet without integrity one by HMAC-SHA-256-128 under a key of
// zeros, and the configuration to match.
func addICV(c SAConfig, packet []byte) (SAConfig, []byte) {
	c.Integ, c.IntegKey = integ(suite.IntegHMACSHA256_128), make([]byte, 32)
	mac := hmac.New(sha256.New, c.IntegKey)
	mac.Write(packet)
	return c, append(packet, mac.Sum(nil)[:16]...)
}

// Each packet opens to what its source says, and sealing the same text under the
// same IV gives the same packet.
func TestPublishedPackets(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			packet := unhex(t, v.packet)
			if v.withoutICV {
				v.config, packet = addICV(v.config, packet)
			}
			o, i := pair(t, v.config)
			i.window.top = v.top
			opened := bytes.Clone(packet)
			inner, nextHeader, seq, err := i.Open(opened)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(inner, unhex(t, v.inner)) || nextHeader != v.nextHeader || seq != v.seq {
				t.Errorf("opened packet %d under Next Header %d as\n%x, want packet %d under %d\n%s", seq, nextHeader, inner, v.seq, v.nextHeader, v.inner)
			}

			// Seal chooses its own IV, so its last step is repeated with the source's.
			o.last = v.seq
			sealed, err := o.Seal(nil, v.seq, inner, nextHeader)
			if err != nil || len(sealed) != len(packet) {
				t.Fatalf("sealed %d octets, want %d (%v)", len(sealed), len(packet), err)
			}
			textAt, textEnd := headerBytes+o.ivBytes, len(packet)-o.icvBytes
			copy(sealed[headerBytes:textEnd], opened[headerBytes:textEnd])
			aad, tail := o.associated(sealed[:headerBytes], uint32(v.seq>>32))
			o.crypter.Seal(sealed[headerBytes:textAt], sealed[textAt:textEnd], sealed[textEnd:], aad, tail)
			if !bytes.Equal(sealed, packet) {
				t.Errorf("sealed as\n%x, want\n%x", sealed, packet)
			}
		})
	}
}
