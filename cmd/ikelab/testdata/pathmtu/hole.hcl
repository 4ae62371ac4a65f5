# Every size passes, because the gateway either cuts or reports what fits, and the sender learns.
lab "pathmtu-hole" { duration = "9s" }
variable "path" {
  type    = number
  default = 1400
}
locals {
  sizes = [1200, 1300, 1330, 1345, 1352, 1360, 1372, 1373, 1400, 1440, 1472, 1473, 1600, 3000]
}
network "a" { prefix = "192.168.1.0/24" }
network "isp-a" { prefix = "198.51.100.0/24" }
network "isp-b" { prefix = "203.0.113.0/24" }
network "b" { prefix = "192.168.2.0/24" }
node "pc" {
  implementation = "host"
  interface "eth0" { network = network.a }
}
node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" { network = network.isp-a }
  connection "b" {
    remote_addrs = [node.gw-b.interface.wan]
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "start"
    }
  }
}
# somewhere in the middle the MTU is smaller than at both gateways
node "router" {
  implementation = "host"
  interface "east" { network = network.isp-a }
  interface "west" {
    network = network.isp-b
    link    = { delay = "5ms", mtu = var.path }
  }
}
node "gw-b" {
  interface "wan" {
    network = network.isp-b
    mtu     = var.path
  }
  interface "lan" { network = network.b }
  connection "a" {
    remote_addrs = [node.gw-a.interface.wan]
    child "net" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}
node "smb" {
  implementation = "host"
  interface "eth0" { network = network.b }
}
secret "psk" { secret = "mtu" }
flow "ping" {
  count    = length(local.sizes)
  from     = node.pc
  to       = node.smb
  protocol = "icmp"
  size     = local.sizes[count.index]
  start    = "${1000 + 10 * count.index}ms"
  rate     = "2pps"
  packets  = 10
}
flow "udp-back" {
  count   = length(local.sizes)
  from    = node.smb
  to      = node.pc
  size    = local.sizes[count.index]
  start   = "${1000 + 10 * count.index}ms"
  rate    = "2pps"
  packets = 10
}
expect "size passes" {
  count         = length(local.sizes)
  condition     = result.flow.ping[count.index].lost <= 1 && result.flow.udp-back[count.index].lost <= 1
  error_message = "${local.sizes[count.index]} bytes: ${result.flow.ping[count.index].lost} pings, ${result.flow.udp-back[count.index].lost} datagrams of 10 lost"
}
