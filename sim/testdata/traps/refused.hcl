# A peer that accepts the IKE SA and refuses the child (RFC 7296, section 2.21.2).
lab "refused" { duration = "6s" }
variable "start" {
  type    = string
  default = "start"
}
network "l" { prefix = "10.10.10.0/24" }
network "w" { prefix = "192.0.2.0/24" }
network "r" { prefix = "10.20.20.0/24" }
node "pc" {
  implementation = "host"
  interface "e" { network = network.l }
}
node "a" {
  interface "l" { network = network.l }
  interface "w" {
    network = network.w
    link    = { delay = "10ms" }
  }
  connection "asa" {
    remote_addrs = [node.asa.interface.w]
    child "net" {
      local_ts     = [network.l]
      remote_ts    = ["10.20.20.0/24"]
      start_action = var.start
    }
  }
}
node "asa" {
  interface "w" { network = network.w }
  interface "r" { network = network.r }
  connection "a" {
    remote_addrs = [node.a.interface.w]
    child "net" {
      local_ts  = ["10.20.30.0/24"]
      remote_ts = [network.l]
    }
  }
}
node "s" {
  implementation = "host"
  interface "e" { network = network.r }
}
secret "s" { secret = "x" }
flow "p" {
  from     = node.pc
  to       = node.s
  protocol = "icmp"
  rate     = "5pps"
  start    = "1s"
  packets  = 20
}
expect "the IKE SA stands, the child does not" {
  condition = alltrue([
    result.node.a.connection.asa.established, !result.node.a.connection.asa.child.net.installed,
    result.node.a.connection.asa.child.net.failed == "TS_UNACCEPTABLE", result.node.asa.connection.a.established,
  ])
}
expect "it is not asked again with every packet" {
  condition = result.node.a.connection.asa.attempts <= 3
}
expect "every packet is named" {
  condition = result.node.a.dropped == result.flow.p.sent
}
