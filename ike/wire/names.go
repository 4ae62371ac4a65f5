package wire

import "fmt"

// String is IANA's name, or "EXCHANGE_n" for a number without one.
func (t ExchangeType) String() string {
	switch t {
	case ExchangeIKESAInit:
		return "IKE_SA_INIT"
	case ExchangeIKEAuth:
		return "IKE_AUTH"
	case ExchangeCreateChildSA:
		return "CREATE_CHILD_SA"
	case ExchangeInformational:
		return "INFORMATIONAL"
	case ExchangeIKESessionResume:
		return "IKE_SESSION_RESUME"
	case ExchangeGSAAuth:
		return "GSA_AUTH"
	case ExchangeGSARegistration:
		return "GSA_REGISTRATION"
	case ExchangeGSARekey:
		return "GSA_REKEY"
	case ExchangeIKEIntermediate:
		return "IKE_INTERMEDIATE"
	case ExchangeIKEFollowupKE:
		return "IKE_FOLLOWUP_KE"
	}
	return fmt.Sprintf("EXCHANGE_%d", uint8(t))
}

// payloadNames are RFC 7296 §3.2's notations.
var payloadNames = map[PayloadType]string{
	PayloadNone: "none", PayloadSA: "SA", PayloadKE: "KE", PayloadIDi: "IDi", PayloadIDr: "IDr",
	PayloadCert: "CERT", PayloadCertReq: "CERTREQ", PayloadAuth: "AUTH", PayloadNonce: "Ni,Nr",
	PayloadNotify: "N", PayloadDelete: "D", PayloadVendorID: "V", PayloadTSi: "TSi", PayloadTSr: "TSr",
	PayloadSK: "SK", PayloadCP: "CP", PayloadEAP: "EAP", PayloadSKF: "SKF",
}

// String is RFC 7296's notation ("SA", "Ni,Nr", "SK"), or "payload n".
func (t PayloadType) String() string {
	if s, ok := payloadNames[t]; ok {
		return s
	}
	return fmt.Sprintf("payload %d", uint8(t))
}

// String is "IKE", "AH", "ESP", "none", or "protocol n".
func (p ProtocolID) String() string {
	switch p {
	case ProtocolNone:
		return "none"
	case ProtocolIKE:
		return "IKE"
	case ProtocolAH:
		return "AH"
	case ProtocolESP:
		return "ESP"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// String is IANA's short name: "ENCR", "PRF", "INTEG", "KE", "ESN", "ADDKE1", or "transform type n".
func (t TransformType) String() string {
	switch {
	case t == TransformENCR:
		return "ENCR"
	case t == TransformPRF:
		return "PRF"
	case t == TransformINTEG:
		return "INTEG"
	case t == TransformKE:
		return "KE"
	case t == TransformESN:
		return "ESN"
	case t >= TransformADDKE1 && t <= TransformADDKE7:
		return fmt.Sprintf("ADDKE%d", t-TransformADDKE1+1)
	}
	return fmt.Sprintf("transform type %d", uint8(t))
}

var idTypeNames = map[IDType]string{
	IDTypeIPv4Addr: "ID_IPV4_ADDR", IDTypeFQDN: "ID_FQDN", IDTypeRFC822Addr: "ID_RFC822_ADDR",
	IDTypeIPv6Addr: "ID_IPV6_ADDR", IDTypeDERASN1DN: "ID_DER_ASN1_DN", IDTypeDERASN1GN: "ID_DER_ASN1_GN",
	IDTypeKeyID: "ID_KEY_ID", IDTypeFCName: "ID_FC_NAME", IDTypeNull: "ID_NULL",
}

// String is IANA's name, or "ID_n".
func (t IDType) String() string {
	if s, ok := idTypeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("ID_%d", uint8(t))
}

var authMethodNames = map[AuthMethod]string{
	AuthRSASignature: "RSA", AuthSharedKey: "PSK", AuthDSSSignature: "DSS", AuthECDSAP256: "ECDSA-256",
	AuthECDSAP384: "ECDSA-384", AuthECDSAP521: "ECDSA-521", AuthSecurePassword: "GSPM", AuthNull: "NULL",
	AuthDigitalSignature: "SIG",
}

// String is a short name ("PSK", "RSA", "SIG" for RFC 7427's digital signature), or "method n".
func (m AuthMethod) String() string {
	if s, ok := authMethodNames[m]; ok {
		return s
	}
	return fmt.Sprintf("method %d", uint8(m))
}

var certEncodingNames = map[CertEncoding]string{
	CertPKCS7: "PKCS7", CertPGP: "PGP", CertDNSSigned: "DNS", CertX509Signature: "X509",
	CertKerberosToken: "Kerberos", CertCRL: "CRL", CertARL: "ARL", CertSPKI: "SPKI",
	CertX509Attribute: "X509-attribute", CertHashURL: "hash-and-URL", CertHashURLBundle: "hash-and-URL bundle",
	CertOCSP: "OCSP", CertRawPublicKey: "raw public key",
}

// String is a short name ("X509", "CRL", "OCSP"), or "encoding n".
func (e CertEncoding) String() string {
	if s, ok := certEncodingNames[e]; ok {
		return s
	}
	return fmt.Sprintf("encoding %d", uint8(e))
}

// String is IANA's name, or "TS_n".
func (t TSType) String() string {
	switch t {
	case TSIPv4AddrRange:
		return "TS_IPV4_ADDR_RANGE"
	case TSIPv6AddrRange:
		return "TS_IPV6_ADDR_RANGE"
	case TSFCAddrRange:
		return "TS_FC_ADDR_RANGE"
	case TSSecLabel:
		return "TS_SECLABEL"
	}
	return fmt.Sprintf("TS_%d", uint8(t))
}

// String is IANA's name, or "CFG_n".
func (t ConfigType) String() string {
	switch t {
	case ConfigRequest:
		return "CFG_REQUEST"
	case ConfigReply:
		return "CFG_REPLY"
	case ConfigSet:
		return "CFG_SET"
	case ConfigAck:
		return "CFG_ACK"
	}
	return fmt.Sprintf("CFG_%d", uint8(t))
}

var configAttributeNames = map[ConfigAttributeType]string{
	ConfigInternalIP4Address: "INTERNAL_IP4_ADDRESS", ConfigInternalIP4Netmask: "INTERNAL_IP4_NETMASK",
	ConfigInternalIP4DNS: "INTERNAL_IP4_DNS", ConfigInternalIP4NBNS: "INTERNAL_IP4_NBNS",
	ConfigInternalIP4DHCP: "INTERNAL_IP4_DHCP", ConfigApplicationVersion: "APPLICATION_VERSION",
	ConfigInternalIP6Address: "INTERNAL_IP6_ADDRESS", ConfigInternalIP6DNS: "INTERNAL_IP6_DNS",
	ConfigInternalIP6DHCP: "INTERNAL_IP6_DHCP", ConfigInternalIP4Subnet: "INTERNAL_IP4_SUBNET",
	ConfigSupportedAttributes: "SUPPORTED_ATTRIBUTES", ConfigInternalIP6Subnet: "INTERNAL_IP6_SUBNET",
	ConfigMIP6HomePrefix: "MIP6_HOME_PREFIX", ConfigInternalIP6Link: "INTERNAL_IP6_LINK",
	ConfigInternalIP6Prefix: "INTERNAL_IP6_PREFIX", ConfigHomeAgentAddress: "HOME_AGENT_ADDRESS",
	ConfigPCSCFIP4Address: "P_CSCF_IP4_ADDRESS", ConfigPCSCFIP6Address: "P_CSCF_IP6_ADDRESS",
	ConfigFTTKAT: "FTT_KAT", ConfigExternalSourceIP4NAT: "EXTERNAL_SOURCE_IP4_NAT_INFO",
	ConfigLivenessTimeout: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK", ConfigInternalDNSDomain: "INTERNAL_DNS_DOMAIN",
	ConfigInternalDNSSECTA: "INTERNAL_DNSSEC_TA", ConfigEncDNSIP4: "ENCDNS_IP4", ConfigEncDNSIP6: "ENCDNS_IP6",
	ConfigEncDNSDigestInfo: "ENCDNS_DIGEST_INFO",
}

// String is IANA's name, or "attribute n".
func (t ConfigAttributeType) String() string {
	if s, ok := configAttributeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("attribute %d", uint16(t))
}

// groupNames are the names that strongSwan's proposals give to key exchange methods.
var groupNames = map[uint16]string{
	1: "modp768", 2: "modp1024", 5: "modp1536", 14: "modp2048", 15: "modp3072", 16: "modp4096",
	17: "modp6144", 18: "modp8192", 19: "ecp256", 20: "ecp384", 21: "ecp521", 22: "modp1024s160",
	23: "modp2048s224", 24: "modp2048s256", 25: "ecp192", 26: "ecp224", 27: "ecp224bp", 28: "ecp256bp",
	29: "ecp384bp", 30: "ecp512bp", 31: "x25519", 32: "x448", 35: "mlkem512", 36: "mlkem768", 37: "mlkem1024",
}

// groupName is the name of a key exchange method, or "group n".
func groupName(g uint16) string {
	if s, ok := groupNames[g]; ok {
		return s
	}
	return fmt.Sprintf("group %d", g)
}
