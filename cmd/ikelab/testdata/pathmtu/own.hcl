# A gateway's own datagrams are cut in front of its tunnel: the far gateway may not cut IPv6.
lab "pathmtu-own" { duration = "8s" }
variable "v6" {
  type    = bool
  default = true
}
variable "encap" {
  type    = bool
  default = false
}
variable "trap" {
  type    = bool
  default = false
}
locals { sizes = [1400, 1440, 1460, 4000] }
network "a" { prefix = var.v6 ? "2001:db8:a::/64" : "10.1.0.0/24" }
network "w" { prefix = var.v6 ? "2001:db8::/64" : "198.51.100.0/24" }
network "b" { prefix = var.v6 ? "2001:db8:b::/64" : "10.2.0.0/24" }
node "pa" {
  implementation = "host"
  interface "e" { network = network.a }
}
node "a" {
  interface "l" { network = network.a }
  interface "w" { network = network.w }
  connection "c" {
    remote_addrs = [node.b.interface.w]
    encap        = var.encap
    child "n" {
      local_ts  = [network.a]
      remote_ts = [network.b]
    }
  }
}
node "b" {
  interface "w" { network = network.w }
  interface "l" { network = network.b }
  connection "c" {
    remote_addrs = [node.a.interface.w]
    encap        = var.encap
    child "n" {
      local_ts     = [network.b]
      remote_ts    = [network.a]
      start_action = var.trap ? "trap" : "start"
    }
  }
}
secret "s" { secret = "x" }
flow "udp" {
  count   = length(local.sizes)
  from    = node.b.interface.l
  to      = node.pa
  size    = local.sizes[count.index]
  rate    = "2pps"
  start   = "1s"
  packets = 10
}
flow "ping" {
  count    = length(local.sizes)
  from     = node.b.interface.l
  to       = node.pa
  protocol = "icmp"
  size     = local.sizes[count.index]
  rate     = "2pps"
  start    = "1s"
  packets  = 10
}
expect "every datagram arrives" {
  count         = length(local.sizes)
  condition     = result.flow.udp[count.index].lost == 0 && result.flow.ping[count.index].lost <= 1
  error_message = "${local.sizes[count.index]} bytes: ${result.flow.udp[count.index].lost} datagrams and ${result.flow.ping[count.index].lost} pings of 10 are lost"
}
