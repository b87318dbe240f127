//! A seller that quotes by itself: every invitation gets a proposal, every follow-up an answer.
//!
//! ```sh
//! cargo run -p orderstream-client --example seller -- http://127.0.0.1:50051 chairs-rosenheim 99.50
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example tells what it does")]

use std::process::ExitCode;

use orderstream_client::{
    Client, Error, EventKind, Heard, OrderEvent, ProposalInput, Proposed, SellerId, SellerSession,
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
            Heard::Connected(connected) => println!("connected to {}", connected.processor),
            Heard::Refused(refused) => println!("{refused}"),
            Heard::Event(heard) => match quote(&mut session, &heard, price).await {
                Ok(()) => session.acknowledge(&heard.order, heard.event.seq).await?,
                // The order ended in the meantime, or takes nothing at the moment.
                Err(Error::Refused(refused)) => println!("{}: {refused}", heard.order),
                Err(error) => return Err(error),
            },
        }
    }
}

async fn quote(session: &mut SellerSession, heard: &OrderEvent, price: &str) -> Result<(), Error> {
    println!("{} {} {}", heard.order, heard.event.seq, heard.event.kind.as_str());
    if let EventKind::OrderOpened(_) = &heard.event.kind {
        let seller = session.seller().to_string();
        let proposed = Proposed::try_from(ProposalInput {
            // An id of its own: after a restart of this program the same proposal is not made again.
            proposal_id: Some(format!("{}-{seller}", heard.order.order_req_id)),
            seller,
            price: price.to_owned(),
            currency: "EUR".to_owned(),
            ..ProposalInput::default()
        })?;
        session.propose(&heard.order, proposed).await?;
    }
    if let EventKind::FollowUpAdded(follow_up) = &heard.event.kind {
        session.answer(&heard.order, &follow_up.id, "As offered.").await?;
    }
    Ok(())
}
