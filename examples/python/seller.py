#!/usr/bin/env python3
"""A seller that stays connected: it hears of each order that it is invited to, acknowledges it, asks
when it is to be delivered, proposes, and amends its proposal when the buyer has answered.

    python3 examples/python/build.py
    target/python/venv/bin/python examples/python/seller.py \
        --address 127.0.0.1:50051 --seller chairs-rosenheim

After a break it connects again and goes on after the last event of each order that it has heard.
"""

import argparse
import queue
import random
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(sys.prefix).parent / "stubs"))
try:
    import grpc
    from orderstream.v1 import event_pb2, model_pb2, streaming_pb2, streaming_pb2_grpc
except ImportError as error:
    sys.exit(
        f"error: {error}; run `python3 examples/python/build.py` once, and then this by the Python "
        "that it prints"
    )

ENDS = {"OrderFinalised", "OrderClosed", "OrderCancelled"}


def is_end(paused: event_pb2.OrderPaused) -> bool:
    """Reports whether an order has expired for good: its buyer cannot decide any more."""
    return paused.expired and not paused.HasField("decide_by")


# With these the same session would be refused again.
FINAL = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)

# One connection that is silent for this long is asked whether it lives.
KEEPALIVE = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000)]


@dataclass
class Order:
    """What the seller knows of one order."""

    incarnation: str = ""
    heard: int = 0
    question: str = ""
    proposal: str = ""
    version: int = 0


class Seller:
    """One seller; the processor that it speaks to may be any."""

    def __init__(self, address: str, name: str, orders: int) -> None:
        self.address, self.name, self.left = address, name, orders
        self.orders: dict[str, Order] = {}
        # Messages that are not answered yet; they are said again after a break, under the same id,
        # and done once.
        self.unanswered: dict[str, streaming_pb2.SellerMessage] = {}
        self.up: queue.Queue = queue.Queue(maxsize=256)

    def run(self) -> None:
        """Works until as many orders as asked for have ended."""
        attempt = 0
        while self.left:
            try:
                with grpc.insecure_channel(self.address, options=KEEPALIVE) as channel:
                    for event in self.connect(channel):
                        attempt = 0
                        self.hear(event)
                        if not self.left:
                            return
            except grpc.RpcError as error:
                if error.code() in FINAL:
                    sys.exit(f"error: {self.address} refused the session: {error.details()}")
                say(
                    f"no session with {self.address}, trying again: "
                    f"{error.code().name}: {error.details()}"
                )
            # Full jitter: all who were cut off together do not come back together.
            time.sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))
            attempt = min(attempt + 1, 10)

    def connect(self, channel: grpc.Channel):
        self.up = queue.Queue(maxsize=256)
        cursors = [
            model_pb2.OrderCursor(
                order=model_pb2.OrderRef(order_req_id=id, incarnation=order.incarnation),
                after_seq=order.heard,
            )
            for id, order in self.orders.items()
        ]
        hello = streaming_pb2.Hello(seller=self.name, cursors=cursors)
        self.up.put(streaming_pb2.SellerMessage(hello=hello))
        for message in self.unanswered.values():
            self.up.put(message)
        stub = streaming_pb2_grpc.OrderStreamingServiceStub(channel)
        return stub.SellerSession(iter(self.up.get, None))

    def send(self, **kind: object) -> str:
        """Says something; the result carries the same id."""
        request_id = str(uuid.uuid4())
        message = streaming_pb2.SellerMessage(request_id=request_id, **kind)
        self.unanswered[request_id] = message
        self.up.put(message)
        return request_id

    def hear(self, event: streaming_pb2.SellerEvent) -> None:
        kind = event.WhichOneof("kind")
        if kind == "welcome":
            say(f"connected to {event.welcome.processor}")
        elif kind == "result":
            self.answered(event.result)
        elif kind == "event":
            self.happened(event.event)
        # draining: the server closes the session; the next one goes on where this one was.

    def answered(self, result: streaming_pb2.SellerResult) -> None:
        self.unanswered.pop(result.request_id, None)
        if result.reason:
            # The message may begin with its reason.
            message = result.message.removeprefix(f"{result.reason}: ")
            say(f"refused: {result.reason}: {message}")
            if not result.request_id:
                # A cursor that cannot be used: the order is gone, or another one has its name.
                self.orders.pop(result.order.order_req_id, None)

    def happened(self, event) -> None:
        id, status = event.order_req_id, event.streaming_response_status
        order = self.orders.setdefault(id, Order())
        if status == "OrderOpened" and event.opened.incarnation != order.incarnation:
            order = self.orders[id] = Order(incarnation=event.opened.incarnation)
        if event.seq <= order.heard:
            return
        order.heard = event.seq
        say(f"{id} {event.seq} {status}")
        reference = model_pb2.OrderRef(order_req_id=id, incarnation=order.incarnation)
        if status == "OrderOpened":
            self.send(acknowledge=streaming_pb2.Acknowledge(order=reference, seq=event.seq))
            question = model_pb2.Message(type="text", message="Does Friday suit you?")
            order.question = self.send(
                question=streaming_pb2.Question(order=reference, message=question)
            )
            order.proposal = f"{id}-{self.name}"
            self.propose(id, order, price="120.00", version=0)
        elif status == "NewProposal":
            order.version = event.proposal.version
        elif status == "ProposalUpdate" and event.proposal_update.change == "amended":
            order.version = event.proposal_update.proposal.version
        elif status == "FollowUpAdded" and event.follow_up.answers == order.question:
            say(f"{id} the buyer answers: {event.follow_up.message.message}")
            self.propose(id, order, price="110.00", version=max(order.version, 1))
        elif status in ENDS or (status == "OrderPaused" and is_end(event.order_paused)):
            won = event.order_finalised.award.proposal_id == order.proposal
            say(f"{id} is over: {'won' if won and order.proposal else 'not won'}")
            del self.orders[id]
            self.left -= 1

    def propose(self, id: str, order: Order, price: str, version: int) -> None:
        """A first proposal has version 0; an amendment names the version that it replaces."""
        proposal = model_pb2.Proposal(
            proposal_id=order.proposal, price=price, currency="EUR", version=version
        )
        self.send(proposal=streaming_pb2.ProposalSubmission(order_req_id=id, proposal=proposal))


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="127.0.0.1:50051", help="the processor's gRPC port")
    parser.add_argument("--seller", required=True, help="the seller's name")
    parser.add_argument("--orders", type=int, default=-1, help="end after so many (default: never)")
    arguments = parser.parse_args()
    try:
        Seller(arguments.address, arguments.seller, arguments.orders).run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
