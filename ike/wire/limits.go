package wire

// Bounds on what one message may hold. They are far above what any known peer
// sends and keep the work and memory per received octet constant.
const (
	// messageBytesMax is the largest IKE message: what fits into one UDP datagram.
	messageBytesMax = 65535
	// payloadsMax bounds the payloads of one chain.
	payloadsMax = 128
	// proposalsMax bounds the proposals of one SA payload.
	proposalsMax = 128
	// transformsMax bounds the transforms of one proposal (the field is one octet).
	transformsMax = 255
	// transformAttributesMax bounds the attributes of one transform.
	transformAttributesMax = 16
	// selectorsMax bounds the selectors of one TS payload (the field is one octet).
	selectorsMax = 255
	// deleteSPIsMax bounds the SPIs of one Delete payload.
	deleteSPIsMax = 4096
	// configAttributesMax bounds the attributes of one Configuration payload.
	configAttributesMax = 256
	// nonceBytesMin and nonceBytesMax are the limits of RFC 7296 §3.9.
	nonceBytesMin = 16
	nonceBytesMax = 256
)
