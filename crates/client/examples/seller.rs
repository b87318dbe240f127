//! An automatic seller: it sends a proposal for every invitation, and an answer to every follow-up.
//!
//! ```sh
//! cargo run -p orderstream-client --example seller -- http://127.0.0.1:50051 chairs-rosenheim 99.50
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example tells what it does")]

use std::process::ExitCode;

use orderstream_client::{
    Client, Error, EventKind, OrderEvent, ProposalContent, ProposalInput, SellerId, SellerSession,
    SessionItem,
};

const USAGE: &str = "usage: seller URL NAME [PRICE]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(name)) = (arguments.next(), arguments.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let price = arguments.next().unwrap_or_else(|| "100.00".to_owned());
    match sell(&url, &name, &price).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn sell(url: &str, name: &str, price: &str) -> Result<(), Error> {
    let mut session = Client::new(url)?.seller(SellerId::new(name)?);
    loop {
        match session.next().await? {
            SessionItem::Connected(connected) => println!("connected to {}", connected.processor),
            SessionItem::Refused(refused) => println!("{refused}"),
            SessionItem::Event(order_event) => match quote(&mut session, &order_event, price).await
            {
                Ok(()) => session.acknowledge(&order_event.order, order_event.event.seq).await?,
                // The order has ended, or accepts nothing at the moment.
                Err(Error::Refused(refused)) => println!("{}: {refused}", order_event.order),
                Err(error) => return Err(error),
            },
        }
    }
}

async fn quote(
    session: &mut SellerSession,
    order_event: &OrderEvent,
    price: &str,
) -> Result<(), Error> {
    println!("{} {} {}", order_event.order, order_event.event.seq, order_event.event.kind.as_str());
    if let EventKind::OrderOpened(_) = &order_event.event.kind {
        let seller = session.seller().to_string();
        let proposed = ProposalContent::try_from(ProposalInput {
            // A stable id, so that a restart of this program does not make the proposal again.
            proposal_id: Some(format!("{}-{seller}", order_event.order.order_req_id)),
            seller,
            price: price.to_owned(),
            currency: "EUR".to_owned(),
            ..ProposalInput::default()
        })?;
        session.propose(&order_event.order, proposed).await?;
    }
    if let EventKind::FollowUpAdded(follow_up) = &order_event.event.kind {
        session.answer(&order_event.order, &follow_up.id, "As offered.").await?;
    }
    Ok(())
}
