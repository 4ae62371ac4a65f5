package wire

// NonESPMarkerBytes is the length of the marker that precedes an IKE message on
// port 4500 (RFC 3948 §2.2). Parse and Append work without it.
const NonESPMarkerBytes = 4

// NonESPMarker is that marker: zero octets where an ESP packet has its SPI.
var NonESPMarker = [NonESPMarkerBytes]byte{}

// ExchangeType is the Exchange Type of an IKE header (RFC 7296 §3.1).
type ExchangeType uint8

// Exchange types of IANA's "IKEv2 Exchange Types".
const (
	ExchangeIKESAInit        ExchangeType = 34 // RFC 7296
	ExchangeIKEAuth          ExchangeType = 35 // RFC 7296
	ExchangeCreateChildSA    ExchangeType = 36 // RFC 7296
	ExchangeInformational    ExchangeType = 37 // RFC 7296
	ExchangeIKESessionResume ExchangeType = 38 // RFC 5723
	ExchangeGSAAuth          ExchangeType = 39 // RFC 9838
	ExchangeGSARegistration  ExchangeType = 40 // RFC 9838
	ExchangeGSARekey         ExchangeType = 41 // RFC 9838
	ExchangeIKEIntermediate  ExchangeType = 43 // RFC 9242
	ExchangeIKEFollowupKE    ExchangeType = 44 // RFC 9370
)

// Flags are the flags of an IKE header (RFC 7296 §3.1).
type Flags uint8

// Header flags.
const (
	FlagInitiator Flags = 0x08 // sent by the original initiator of the IKE SA
	FlagVersion   Flags = 0x10 // the sender can speak a higher major version
	FlagResponse  Flags = 0x20 // the message answers the request with the same Message ID
)

// PayloadType is the type of a payload, as the Next Payload field of what
// precedes it holds it (RFC 7296 §3.2).
type PayloadType uint8

// Payload types of IANA's "IKEv2 Payload Types".
const (
	PayloadNone     PayloadType = 0
	PayloadSA       PayloadType = 33
	PayloadKE       PayloadType = 34
	PayloadIDi      PayloadType = 35
	PayloadIDr      PayloadType = 36
	PayloadCert     PayloadType = 37
	PayloadCertReq  PayloadType = 38
	PayloadAuth     PayloadType = 39
	PayloadNonce    PayloadType = 40
	PayloadNotify   PayloadType = 41
	PayloadDelete   PayloadType = 42
	PayloadVendorID PayloadType = 43
	PayloadTSi      PayloadType = 44
	PayloadTSr      PayloadType = 45
	PayloadSK       PayloadType = 46
	PayloadCP       PayloadType = 47
	PayloadEAP      PayloadType = 48
	PayloadSKF      PayloadType = 53 // RFC 7383
)

// ProtocolID is the protocol of a proposal, notification or delete (RFC 7296 §3.3.1).
type ProtocolID uint8

// Protocol identifiers.
const (
	ProtocolNone ProtocolID = 0 // a Notify that concerns no SA
	ProtocolIKE  ProtocolID = 1
	ProtocolAH   ProtocolID = 2
	ProtocolESP  ProtocolID = 3
)

// TransformType is the type of a transform (RFC 7296 §3.3.2).
type TransformType uint8

// Transform types of IANA's "Transform Type Values".
const (
	TransformENCR   TransformType = 1
	TransformPRF    TransformType = 2
	TransformINTEG  TransformType = 3
	TransformKE     TransformType = 4
	TransformESN    TransformType = 5
	TransformADDKE1 TransformType = 6 // RFC 9370; ADDKE2 to ADDKE7 follow
	TransformADDKE7 TransformType = 12
)

// attributeKeyLength is the one transform attribute that is defined (RFC 7296 §3.3.5).
const attributeKeyLength = 14

// IDType is the kind of an identity (RFC 7296 §3.5).
type IDType uint8

// Identity types of IANA's "IKEv2 Identification Payload ID Types".
const (
	IDTypeIPv4Addr   IDType = 1
	IDTypeFQDN       IDType = 2
	IDTypeRFC822Addr IDType = 3
	IDTypeIPv6Addr   IDType = 5
	IDTypeDERASN1DN  IDType = 9
	IDTypeDERASN1GN  IDType = 10
	IDTypeKeyID      IDType = 11
	IDTypeFCName     IDType = 12
	IDTypeNull       IDType = 13 // RFC 7619
)

// AuthMethod is how an AUTH payload was computed (RFC 7296 §3.8).
type AuthMethod uint8

// Authentication methods of IANA's "IKEv2 Authentication Method".
const (
	AuthRSASignature     AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDSSSignature     AuthMethod = 3
	AuthECDSAP256        AuthMethod = 9  // RFC 4754
	AuthECDSAP384        AuthMethod = 10 // RFC 4754
	AuthECDSAP521        AuthMethod = 11 // RFC 4754
	AuthSecurePassword   AuthMethod = 12 // RFC 6467
	AuthNull             AuthMethod = 13 // RFC 7619
	AuthDigitalSignature AuthMethod = 14 // RFC 7427
)

// CertEncoding is the encoding of CERT and CERTREQ payloads (RFC 7296 §3.6).
type CertEncoding uint8

// Certificate encodings of IANA's "IKEv2 Certificate Encodings".
const (
	CertPKCS7         CertEncoding = 1
	CertPGP           CertEncoding = 2
	CertDNSSigned     CertEncoding = 3
	CertX509Signature CertEncoding = 4
	CertKerberosToken CertEncoding = 6
	CertCRL           CertEncoding = 7
	CertARL           CertEncoding = 8
	CertSPKI          CertEncoding = 9
	CertX509Attribute CertEncoding = 10
	CertHashURL       CertEncoding = 12
	CertHashURLBundle CertEncoding = 13
	CertOCSP          CertEncoding = 14 // RFC 4806
	CertRawPublicKey  CertEncoding = 15 // RFC 7670
)

// TSType is the type of a traffic selector (RFC 7296 §3.13.1).
type TSType uint8

// Traffic selector types.
const (
	TSIPv4AddrRange TSType = 7
	TSIPv6AddrRange TSType = 8
	TSFCAddrRange   TSType = 9  // RFC 4595
	TSSecLabel      TSType = 10 // RFC 9478
)

// ConfigType is the CFG Type of a Configuration payload (RFC 7296 §3.15).
type ConfigType uint8

// Configuration payload types.
const (
	ConfigRequest ConfigType = 1
	ConfigReply   ConfigType = 2
	ConfigSet     ConfigType = 3
	ConfigAck     ConfigType = 4
)

// ConfigAttributeType is the type of a configuration attribute (RFC 7296 §3.15.1); 15 bits.
type ConfigAttributeType uint16

// Configuration attribute types of IANA's "IKEv2 Configuration Payload Attribute Types".
const (
	ConfigInternalIP4Address   ConfigAttributeType = 1
	ConfigInternalIP4Netmask   ConfigAttributeType = 2
	ConfigInternalIP4DNS       ConfigAttributeType = 3
	ConfigInternalIP4NBNS      ConfigAttributeType = 4
	ConfigInternalIP4DHCP      ConfigAttributeType = 6
	ConfigApplicationVersion   ConfigAttributeType = 7
	ConfigInternalIP6Address   ConfigAttributeType = 8
	ConfigInternalIP6DNS       ConfigAttributeType = 10
	ConfigInternalIP6DHCP      ConfigAttributeType = 12
	ConfigInternalIP4Subnet    ConfigAttributeType = 13
	ConfigSupportedAttributes  ConfigAttributeType = 14
	ConfigInternalIP6Subnet    ConfigAttributeType = 15
	ConfigMIP6HomePrefix       ConfigAttributeType = 16
	ConfigInternalIP6Link      ConfigAttributeType = 17
	ConfigInternalIP6Prefix    ConfigAttributeType = 18
	ConfigHomeAgentAddress     ConfigAttributeType = 19
	ConfigPCSCFIP4Address      ConfigAttributeType = 20
	ConfigPCSCFIP6Address      ConfigAttributeType = 21
	ConfigFTTKAT               ConfigAttributeType = 22
	ConfigExternalSourceIP4NAT ConfigAttributeType = 23
	ConfigLivenessTimeout      ConfigAttributeType = 24
	ConfigInternalDNSDomain    ConfigAttributeType = 25
	ConfigInternalDNSSECTA     ConfigAttributeType = 26
	ConfigEncDNSIP4            ConfigAttributeType = 27
	ConfigEncDNSIP6            ConfigAttributeType = 28
	ConfigEncDNSDigestInfo     ConfigAttributeType = 29
)
