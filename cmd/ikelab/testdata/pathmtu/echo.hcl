# Echo replies longer than the path's MTU are cut by whoever sends them, in front of its tunnel.
lab "pathmtu-echo" { duration = "8s" }
variable "v6" {
  type    = bool
  default = true
}
variable "size" {
  type    = number
  default = 1440
}
network "a" { prefix = var.v6 ? "2001:db8:a::/64" : "10.1.0.0/24" }
network "w" { prefix = var.v6 ? "2001:db8::/64" : "198.51.100.0/24" }
node "pc" {
  implementation = "host"
  interface "e" { network = network.a }
}
node "gw" {
  interface "lan" { network = network.a }
  interface "wan" { network = network.w }
  connection "p" {
    remote_addrs = [node.peer.interface.e]
    child "c" {
      start_action = "start"
      local_ts     = [network.a]
    }
  }
}
node "peer" {
  interface "e" { network = network.w }
  connection "gw" {
    remote_addrs = [node.gw.interface.wan]
    child "c" { remote_ts = [network.a] }
  }
}
secret "s" { secret = "x" }
flow "ping" {
  from     = node.pc
  to       = node.peer
  protocol = "icmp"
  size     = var.size
  start    = "1s"
  rate     = "2pps"
  packets  = 10
}
flow "back" {
  from     = node.peer
  to       = node.pc
  protocol = "icmp"
  size     = var.size
  start    = "1200ms"
  rate     = "2pps"
  packets  = 10
}
expect "the sources learn" {
  condition     = result.flow.ping.lost <= 1 && result.flow.back.lost <= 1
  error_message = "${result.flow.ping.lost} pings and ${result.flow.back.lost} pings back of 10 are lost"
}
