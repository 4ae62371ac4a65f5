package wire

// NotifyType is the Notify Message Type of a Notify payload (RFC 7296 §3.10.1).
// Types below 16384 are errors, the others statuses.
type NotifyType uint16

// IsError reports whether the type is an error (RFC 7296 §3.10.1): one that an
// implementation does not know means that the request failed.
func (t NotifyType) IsError() bool { return t < 16384 }

// Error types of IANA's "IKEv2 Notify Message Error Types".
const (
	UnsupportedCriticalPayload NotifyType = 1
	InvalidIKESPI              NotifyType = 4
	InvalidMajorVersion        NotifyType = 5
	InvalidSyntax              NotifyType = 7
	InvalidMessageID           NotifyType = 9
	InvalidSPI                 NotifyType = 11
	NoProposalChosen           NotifyType = 14
	InvalidKEPayload           NotifyType = 17
	AuthenticationFailed       NotifyType = 24
	SinglePairRequired         NotifyType = 34
	NoAdditionalSAs            NotifyType = 35
	InternalAddressFailure     NotifyType = 36
	FailedCPRequired           NotifyType = 37
	TSUnacceptable             NotifyType = 38
	InvalidSelectors           NotifyType = 39
	UnacceptableAddresses      NotifyType = 40 // RFC 4555
	UnexpectedNATDetected      NotifyType = 41 // RFC 4555
	UseAssignedHoA             NotifyType = 42 // RFC 5026
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44
	InvalidGroupID             NotifyType = 45
	AuthorizationFailed        NotifyType = 46
	StateNotFound              NotifyType = 47 // RFC 9370
	TSMaxQueue                 NotifyType = 48 // RFC 9611
)

// Status types of IANA's "IKEv2 Notify Message Status Types".
const (
	InitialContact                  NotifyType = 16384
	SetWindowSize                   NotifyType = 16385
	AdditionalTSPossible            NotifyType = 16386
	IPCompSupported                 NotifyType = 16387
	NATDetectionSourceIP            NotifyType = 16388
	NATDetectionDestinationIP       NotifyType = 16389
	Cookie                          NotifyType = 16390
	UseTransportMode                NotifyType = 16391
	HTTPCertLookupSupported         NotifyType = 16392
	RekeySA                         NotifyType = 16393
	ESPTFCPaddingNotSupported       NotifyType = 16394
	NonFirstFragmentsAlso           NotifyType = 16395
	MOBIKESupported                 NotifyType = 16396 // RFC 4555
	AdditionalIP4Address            NotifyType = 16397 // RFC 4555
	AdditionalIP6Address            NotifyType = 16398 // RFC 4555
	NoAdditionalAddresses           NotifyType = 16399 // RFC 4555
	UpdateSAAddresses               NotifyType = 16400 // RFC 4555
	Cookie2                         NotifyType = 16401 // RFC 4555
	NoNATsAllowed                   NotifyType = 16402 // RFC 4555
	AuthLifetime                    NotifyType = 16403 // RFC 4478
	MultipleAuthSupported           NotifyType = 16404 // RFC 4739
	AnotherAuthFollows              NotifyType = 16405 // RFC 4739
	RedirectSupported               NotifyType = 16406 // RFC 5685
	Redirect                        NotifyType = 16407 // RFC 5685
	RedirectedFrom                  NotifyType = 16408 // RFC 5685
	TicketLTOpaque                  NotifyType = 16409 // RFC 5723
	TicketRequest                   NotifyType = 16410 // RFC 5723
	TicketACK                       NotifyType = 16411 // RFC 5723
	TicketNACK                      NotifyType = 16412 // RFC 5723
	TicketOpaque                    NotifyType = 16413 // RFC 5723
	LinkID                          NotifyType = 16414 // RFC 5739
	UseWESPMode                     NotifyType = 16415 // RFC 5840
	ROHCSupported                   NotifyType = 16416 // RFC 5857
	EAPOnlyAuthentication           NotifyType = 16417 // RFC 5998
	ChildlessIKEv2Supported         NotifyType = 16418 // RFC 6023
	QuickCrashDetection             NotifyType = 16419 // RFC 6290
	IKEv2MessageIDSyncSupported     NotifyType = 16420 // RFC 6311
	IPsecReplayCounterSyncSupported NotifyType = 16421 // RFC 6311
	IKEv2MessageIDSync              NotifyType = 16422 // RFC 6311
	IPsecReplayCounterSync          NotifyType = 16423 // RFC 6311
	SecurePasswordMethods           NotifyType = 16424 // RFC 6467
	PSKPersist                      NotifyType = 16425 // RFC 6631
	PSKConfirm                      NotifyType = 16426 // RFC 6631
	ERXSupported                    NotifyType = 16427 // RFC 6867
	IFOMCapability                  NotifyType = 16428
	GroupSender                     NotifyType = 16429
	IKEv2FragmentationSupported     NotifyType = 16430 // RFC 7383
	SignatureHashAlgorithms         NotifyType = 16431 // RFC 7427
	CloneIKESASupported             NotifyType = 16432 // RFC 7791
	CloneIKESA                      NotifyType = 16433 // RFC 7791
	Puzzle                          NotifyType = 16434 // RFC 8019
	UsePPK                          NotifyType = 16435 // RFC 8784
	PPKIdentity                     NotifyType = 16436 // RFC 8784
	NoPPKAuth                       NotifyType = 16437 // RFC 8784
	IntermediateExchangeSupported   NotifyType = 16438 // RFC 9242
	IP4Allowed                      NotifyType = 16439 // RFC 8983
	IP6Allowed                      NotifyType = 16440 // RFC 8983
	AdditionalKeyExchange           NotifyType = 16441 // RFC 9370
	UseAggFrag                      NotifyType = 16442 // RFC 9347
	SupportedAuthMethods            NotifyType = 16443 // RFC 9593
	SAResourceInfo                  NotifyType = 16444 // RFC 9611
	UsePPKInt                       NotifyType = 16445 // RFC 9867
	PPKIdentityKey                  NotifyType = 16446 // RFC 9867
)
