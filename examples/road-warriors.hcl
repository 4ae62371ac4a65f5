# 200 road warriors, one gateway.
#
# count makes 200 nodes of one block, and as many flows. Every one of them negotiates its
# own IKE SA with the gateway, all at once, and then sends to a server in the office.

lab "road-warriors" {
  description = "200 clients connect to one gateway at the same moment and send to a server behind it."
  duration    = "15s"
}

variable "warriors" {
  type        = number
  default     = 200
  description = "How many there are."
}

variable "start_action" {
  type        = string
  default     = "start"
  description = "With \"trap\" each waits for its first packet, which then waits for the tunnel: on a busy host too."
}

network "internet" { prefix = "198.51.96.0/20" }
network "office" { prefix = "10.1.0.0/16" }

link "mobile" {
  delay  = "35ms"
  jitter = { distribution = "pareto", sigma = "4ms" }
}

node "gw" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.office }

  # One connection takes them all: it has no remote_addrs and does not begin.
  connection "warriors" {
    local { id = "gw.example.org" }
    child "office" {
      local_ts = [network.office]
    }
  }
}

node "server" {
  implementation = "host"
  interface "eth0" { network = network.office }
}

node "warrior" {
  count = var.warriors
  interface "wan" {
    network = network.internet
    link    = link.mobile
  }
  connection "office" {
    remote_addrs = [node.gw.interface.wan]
    local { id = format("warrior-%d@example.org", count.index) }
    remote { id = "gw.example.org" }
    child "office" {
      remote_ts    = [network.office]
      start_action = var.start_action
    }
  }
}

secret "group" {
  secret = "everybody at example.org knows this one"
}

# The flows begin one after the other, 10 ms apart.
flow "report" {
  count    = var.warriors
  from     = node.warrior[count.index]
  to       = node.server
  protocol = "udp"
  rate     = "1pps"
  packets  = 5
  size     = 120
  start    = "${2000 + 10 * count.index}ms"
}

expect "every warrior has its tunnel" {
  count         = var.warriors
  condition     = result.node.warrior[count.index].connection.office.established
  error_message = "warrior ${count.index} has no tunnel"
}

expect "nothing is lost" {
  count         = var.warriors
  condition     = result.flow.report[count.index].lost == 0
  error_message = "warrior ${count.index} lost ${result.flow.report[count.index].lost} packets"
}
