# A router reports about a fragment of an outer IPv6 packet.
lab "pathmtu-fragment" { duration = "8s" }
variable "encap" {
  type    = bool
  default = false
}
variable "path" {
  type    = number
  default = 1400
}
network "a" { prefix = "192.168.1.0/24" }
network "w" { prefix = "2001:db8:1::/64" }
network "x" { prefix = "2001:db8:2::/64" }
network "b" { prefix = "192.168.2.0/24" }
node "pc" {
  implementation = "host"
  interface "e" { network = network.a }
  route {
    to  = "default"
    via = node.a.interface.l
  }
}
node "a" {
  interface "l" { network = network.a }
  interface "w" { network = network.w }
  connection "b" {
    remote_addrs = [node.b.interface.w]
    encap        = var.encap
    child "n" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "start"
    }
  }
}
node "mid" {
  implementation = "host"
  interface "w" { network = network.w }
  interface "x" {
    network = network.x
    mtu     = var.path
  }
}
node "b" {
  interface "w" {
    network = network.x
    mtu     = var.path
  }
  interface "l" { network = network.b }
  connection "a" {
    remote_addrs = [node.a.interface.w]
    encap        = var.encap
    child "n" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}
node "srv" {
  implementation = "host"
  interface "e" { network = network.b }
  route {
    to  = "default"
    via = node.b.interface.l
  }
}
secret "s" { secret = "x" }
flow "udp" {
  from    = node.pc
  to      = node.srv
  size    = 3000
  rate    = "2pps"
  start   = "1s"
  packets = 10
}
expect "the gateway learns" {
  condition     = result.flow.udp.lost <= 1
  error_message = "${result.flow.udp.lost} datagrams of 10 are lost"
}
